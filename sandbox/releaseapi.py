"""What Airlock hears from the place that outputs are released to: who may do what, and what it takes.

Answers are those of the real one, word for word, its odd ones among them. All that is known lies in a
folder, which a test reads and writes too: see releases.py.
"""

from __future__ import annotations

import hashlib
import json
import random
import threading
from email.message import Message
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, NamedTuple
from urllib.parse import parse_qs

from sandbox.answer import Answer
from sandbox.releaseform import MOST, REQUIRED, problems
from sandbox.taskapi import save


BASE = "/api/v2/"
NO_USER = "Authentication credentials were not provided."
LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
WENT_WRONG = Answer(b"<h1>Server Error (500)</h1>", 500, {"Content-Type": "text/html"})
NO_PAGE = Answer(b"<h1>Not Found</h1>", 404, {"Content-Type": "text/html"})
_one_at_a_time = threading.Lock()
Record = Dict[str, Any]


class Asked(NamedTuple):
    method: str
    path: str  # below BASE
    headers: Message
    body: bytes


class Said(Exception):
    """An answer that ends the matter."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def answer(folder: Path, tokens: Mapping[str, str], asked: Asked) -> Answer:
    """The answer to a question; what it changes is in the folder then."""
    with _one_at_a_time:
        try:
            return _Api(folder, tokens, asked).answer()
        except Said as said:
            return said.answer


def told(value: object, status: int = 200, **headers: str) -> Answer:
    kinds = {"Content-Type": "application/json"}
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer(json.dumps(value).encode(), status, {**kinds, **named})


def refused(why: str, status: int = 403) -> Said:
    return Said(told({"detail": why}, status))


def ulid() -> str:
    return "".join(random.choices(LETTERS, k=26))


class _Api:
    def __init__(self, folder: Path, tokens: Mapping[str, str], asked: Asked) -> None:
        self.folder, self.tokens, self.asked = folder, tokens, asked
        self.people: Record = json.loads((folder / "people.json").read_text())
        self.workspaces: Record = json.loads((folder / "workspaces.json").read_text())

    def answer(self) -> Answer:
        first, _, rest = self.asked.path.partition("/")
        second, _, last = rest.partition("/")
        ways: dict[tuple[str, str], Callable[[str], Answer]] = {
            ("releases", "workspace"): self.create,
            ("releases", "release"): self.upload,
            ("releases", "authenticate"): self.authenticate,
            ("releases", "authorise"): self.authorise,
            ("airlock", "events"): self.event,
        }
        if first == "users" and last == "":
            return self.user(second)
        if first == "workspaces" and last == "status":
            return told({"uses_new_release_flow": True})
        way = ways.get((first, second))
        if not way or last.endswith("/"):
            return NO_PAGE
        return way(last)

    # ---- who asks

    def backend(self) -> str:
        token = self.asked.headers.get("Authorization")
        if token is None:
            raise refused("Authorization header is missing")
        if not token.strip():
            raise refused("Authorization header is empty")
        for name, known in self.tokens.items():
            if token == known:
                return name
        raise refused("Invalid token")

    def checker(self, backend: str) -> str:
        """Who may upload here. Whatever is wrong, it says the same."""
        name = self.asked.headers.get("OS-User") or ""
        found = self.people.get(name)
        if not found or backend not in found["backends"] or not found["output_checker"]:
            raise refused(NO_USER)
        return name

    def post(self) -> None:
        if self.asked.method == "GET":
            self.backend()
            raise refused("Invalid user")
        if self.asked.method != "POST":
            raise refused(f'Method "{self.asked.method}" not allowed.', 405)

    # ---- releases

    def create(self, workspace: str) -> Answer:
        if workspace not in self.workspaces:
            raise refused("No Workspace matches the given query.", 404)
        self.post()
        backend = self.backend()
        user = self.checker(backend)
        try:
            found = json.loads(self.asked.body)
        except ValueError as error:
            raise refused(f"JSON parse error - {error}", 400) from None
        wrong = problems(found)
        if wrong:
            raise Said(told(wrong, 400))
        known = str(found["metadata"].get("airlock_id") or "")
        if len(known) > 26:
            return WENT_WRONG
        release = self.same(known, workspace, backend, found["files"])
        if release is None:
            release = {
                **{"id": known or ulid(), "workspace": workspace, "backend": backend},
                **{"by": user, "files": found["files"], "uploaded": {}},
            }
            self.save(release)
        if "/" in known:
            return WENT_WRONG
        project = self.workspaces[workspace]["project_details"]["name"]
        url = f"https://jobs.opensafely.org/{project}/{workspace}/releases/{release['id']}/"
        body = {"release_id": release["id"], "release_url": url}
        return told(body, 201, Release_Id=release["id"])

    def same(
        self, known: str, workspace: str, backend: str, files: list[Record]
    ) -> Record | None:
        """The release that there is already: only the set of hashes is compared."""
        release = self.release(known) if known else None
        if release is None:
            return None
        hashes = [
            {each["sha256"] for each in kind} for kind in (release["files"], files)
        ]
        whose = (release["workspace"], release["backend"])
        if hashes[0] != hashes[1] or whose != (workspace, backend):
            raise Said(WENT_WRONG)
        return release

    def upload(self, known: str) -> Answer:
        release = self.release(known)
        if release is None:
            raise refused("No Release matches the given query.", 404)
        self.post()
        backend = self.backend()
        self.checker(backend)
        if backend != release["backend"]:
            raise refused(
                f"Release is from backend {release['backend']} not {backend}", 400
            )
        if int(self.asked.headers.get("Content-Length") or 0) > MOST:
            return told(["File is too large, it must be below 16.0Mb"], 400)
        name = self.asked.headers.get_filename()
        if not name or self.asked.headers.get_content_disposition() != "attachment":
            raise refused(
                "Missing filename. Request should include a Content-Disposition "
                "header with a filename parameter.",
                400,
            )
        if not self.asked.body:
            raise refused("No data uploaded", 400)
        listed = [each for each in release["files"] if each["name"] == name]
        if not listed:
            raise refused(f"File {name} not requested in release {known}", 400)
        if name in release["uploaded"]:
            why = f"This version of '{name}' has already been uploaded from backend '{backend}'"
            raise refused(why, 400)
        if hashlib.sha256(self.asked.body).hexdigest() != listed[0]["sha256"]:
            why = "Contents of uploaded file does not match the file which a review was requested for"
            raise refused(why, 400)
        file = ulid()
        (self.folder / "files" / file).write_bytes(self.asked.body)
        release["uploaded"][name] = file
        self.save(release)
        where = f"https://{self.asked.headers.get('Host')}{BASE}releases/file/{file}"
        return Answer(b"", 201, {"File-Id": file, "Location": where})

    def release(self, known: str) -> Record | None:
        path = self.folder / "releases" / f"{known.replace('/', '_')}.json"
        found: Record | None = json.loads(path.read_text()) if path.exists() else None
        return found

    def save(self, release: Record) -> None:
        name = release["id"].replace("/", "_")
        save(self.folder / "releases" / f"{name}.json", release)

    # ---- people

    def fields(self, *needed: str) -> Record:
        if (self.asked.headers.get_content_type()) == "application/json":
            found = json.loads(self.asked.body or b"{}")
        else:
            found = {k: v[0] for k, v in parse_qs(self.asked.body.decode()).items()}
        missing = {name: [REQUIRED] for name in needed if name not in found}
        if missing:
            raise Said(told(missing, 400))
        return dict(found)

    def authenticate(self, _: str) -> Answer:
        self.post()
        self.backend()
        found = self.fields("user", "token")
        for name, person in self.people.items():
            if found["user"] in (name, person["email"]):
                break
        else:
            raise refused("User matching query does not exist.")
        if not person["token"]:
            raise refused(f"No login token set for {name}")
        if person["token"].replace(" ", "") != found["token"].replace(" ", ""):
            raise refused(f"Token for {name} was invalid")
        person["token"] = ""  # it opens once
        save(self.folder / "people.json", self.people)
        return told(self.permissions(name))

    def authorise(self, _: str) -> Answer:
        self.post()
        self.backend()
        name = self.fields("user")["user"]
        if name not in self.people:
            raise refused("No User matches the given query.", 404)
        if not self.people[name]["backends"]:
            raise refused(NO_USER)
        return told(self.permissions(name))

    def permissions(self, name: str) -> Record:
        person = self.people[name]
        return {
            "username": name,
            "fullname": person["fullname"],
            "workspaces": {
                each: self.workspaces[each] for each in person["workspaces"]
            },
            "copiloted_workspaces": {},
            "output_checker": person["output_checker"],
            "readonly_access": False,
        }

    def user(self, name: str) -> Answer:
        self.backend()
        if name not in self.people:
            raise refused("Not found.", 404)
        roles = ["OutputChecker"] if self.people[name]["output_checker"] else []
        return told({"permissions": [], "roles": roles})

    def event(self, _: str) -> Answer:
        self.post()
        self.backend()
        found = self.fields("event_type", "workspace", "request_author")
        if found["workspace"] not in self.workspaces:
            return WENT_WRONG
        with (self.folder / "events.jsonl").open("a") as events:
            events.write(json.dumps(found) + "\n")
        return told({"status": "ok"}, 201)
