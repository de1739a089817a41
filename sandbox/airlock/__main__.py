"""It looks at where it runs, begins to upload what was released, and shows its pages over https.

Started as the real one is: by its entry point, with gunicorn's words.
"""

from __future__ import annotations

import argparse
import hashlib
import html
import os
import ssl
import subprocess
import sys
import threading
import time
from http.client import HTTPException
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from sandbox.airlock import needs
from sandbox.airlock.api import Api, Refused
from sandbox.airlock.store import WEEKS_8, Store, now, shown


COOKIE = "airlock-sessionid"
UPLOADER = "run_file_uploader"
RETRY_S = 60
PORT = 8000
HEAD = "<!DOCTYPE html><title>{0} | Airlock</title><body style='font: 18px sans-serif; background: {1}'><h1>{0}</h1>"
# What somebody who looks at the screen goes by: which page it is, and where the newest request is.
COLOURS = {
    **{"Login": "#DDEEFF", "Error": "#FFDDEE", "Requests": "#EEEEEE"},
    **{"SUBMITTED": "#FFEEDD", "PARTIALLY_REVIEWED": "#EEFFDD", "REVIEWED": "#DDFFEE"},
    **{"APPROVED": "#EEDDFF", "RELEASED": "#EEDDFF"},
}
LOGIN = "<form method=post action=/login/><input name=user autofocus><input name=token><button>Log in</button></form>"
ASK = "<form method=post action=/requests/><input name=workspace autofocus><input name=path><button>Request</button></form>"
DO = "<form method=post action=/requests/{0}/{1}><button autofocus>{1}</button></form>"


def say(level: str, sentence: str) -> None:
    print(level, sentence, flush=True)


class Pages(BaseHTTPRequestHandler):
    env: dict[str, str]

    def do_GET(self) -> None:
        with Store(Path(self.env["AIRLOCK_WORK_DIR"])) as store:
            self._get(store)

    def do_POST(self) -> None:
        with Store(Path(self.env["AIRLOCK_WORK_DIR"])) as store:
            self._post(store)

    def _get(self, store: Store) -> None:
        user = self._user(store)
        if not self._known_here():
            return
        if self.path == "/login/":
            self._page("Login", LOGIN)
        elif user is None:
            self._go("/login/")
        elif self.path.startswith("/workspaces/view/"):
            self._workspace(user, self.path.split("/")[3])
        else:
            rows = store.requests()
            where = rows[-1]["status"] if rows else "Requests"
            self._page("Requests", "".join(map(self._line, rows)) + ASK, where=where)

    def _post(self, store: Store) -> None:
        user, said = self._user(store), self._fields()
        if not self._known_here():
            return
        try:
            if self.path == "/login/":
                found = Api(self.env).login(said["user"], said["token"])
                self._go("/", store.begin_session(found))
            elif user is None:
                self._go("/login/")
            else:
                self._act(store, user, said)
                self._go("/")
        except (Refused, OSError) as refused:
            say("ERROR", f"{self.path}: {refused}")
            words = "Invalid user or token" if self.path == "/login/" else str(refused)
            self._page("Error", f"<p>{html.escape(words)}", 403)

    def _act(self, store: Store, user: dict[str, Any], said: dict[str, str]) -> None:
        name, _, rest = str(user["username"]), *self.path.strip("/").partition("/")[1:]
        known, _, verb = rest.partition("/")
        if not verb:
            self._request(store, name, user, said)
        elif not user["output_checker"]:
            raise PermissionError(f"{name} is no output checker")
        elif verb == "approve":
            store.review(known, name)
        else:
            self._release(store, known, name)

    def _request(
        self, store: Store, name: str, user: dict[str, Any], said: dict[str, str]
    ) -> None:
        workspace = said["workspace"]
        if workspace not in user["workspaces"]:
            raise PermissionError(f"{workspace} is none of {name}'s")
        folder = Path(self.env["AIRLOCK_WORKSPACE_DIR"]) / workspace
        declared = shown(folder)
        if said["path"] not in declared:
            raise PermissionError(
                f"No entry for {said['path']} from manifest.json file"
            )
        data = (folder / said["path"]).read_bytes()
        file = hashlib.sha256(data).hexdigest()
        if file != declared[said["path"]]["content_hash"]:
            raise PermissionError("File hash does not match manifest.json")
        known = store.add(workspace, name, {said["path"]: file})
        copy = _copy(self.env, workspace, known, file)
        copy.parent.mkdir(parents=True)
        copy.write_bytes(data)

    def _release(self, store: Store, known: str, name: str) -> None:
        (found,) = (each for each in store.requests("REVIEWED") if each["id"] == known)
        files = [
            {
                **{"name": each["relpath"], "url": each["relpath"], "review": None},
                **{"sha256": each["file_id"], "date": now().replace(" ", "T") + "Z"},
                "size": _copy(self.env, found["workspace"], known, each["file_id"])
                .stat()
                .st_size,
                "metadata": {},
            }
            for each in store.files(known)
        ]
        Api(self.env).create(known, found["workspace"], files, name)
        for each in store.files(known):
            store.set_file(each["id"], released_at=now(), released_by=name)
        store.set(known, "APPROVED")
        store.note("REQUEST_APPROVE", name, found["workspace"], known)

    def _workspace(self, user: dict[str, Any], workspace: str) -> None:
        """What may be asked for of it, and whatever lies in metadata/ beside that."""
        folder = Path(self.env["AIRLOCK_WORKSPACE_DIR"]) / workspace
        if workspace not in user["workspaces"] and not user["output_checker"]:
            self._page("Error", "<p>none of yours", 403)
            return
        lines = [f"{p} {e['content_hash']}" for p, e in shown(folder).items()]
        lines += [f"metadata/{path.name}" for path in (folder / "metadata").iterdir()]
        text = "".join(f"<p>{html.escape(line)}" for line in sorted(lines))
        self._page("Workspace", text, where="Requests")

    # ---- how it answers

    def _known_here(self) -> bool:
        """As Django: only by a name that it has been told, and only with a key."""
        name = (self.headers.get("Host") or "").partition(":")[0]
        if name not in self.env["DJANGO_ALLOWED_HOSTS"].split(","):
            self._page("Bad Request (400)", "", 400)
        elif not self.env["DJANGO_SECRET_KEY"]:
            self._page("Server Error (500)", "", 500)
        else:
            return True
        return False

    def _user(self, store: Store) -> dict[str, Any] | None:
        found = SimpleCookie(self.headers.get("Cookie") or "").get(COOKIE)
        return store.session(found.value) if found else None

    def _fields(self) -> dict[str, str]:
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        return {name: values[0] for name, values in parse_qs(text).items()}

    def _line(self, found: Any) -> str:
        buttons = {"REVIEWED": ["release"], "SUBMITTED": ["approve"]}
        buttons["PARTIALLY_REVIEWED"] = ["approve"]
        verbs = buttons.get(found["status"], [])
        doing = "".join(DO.format(found["id"], verb) for verb in verbs)
        return f"<p>{found['workspace']} of {found['author']}: {found['status']}{doing}"

    def _page(self, title: str, body: str, status: int = 200, where: str = "") -> None:
        colour = COLOURS.get(where or title, COLOURS["Error"])
        data = (HEAD.format(title, colour) + body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _go(self, place: str, session: str = "") -> None:
        self.send_response(302)
        self.send_header("Location", place)
        self.send_header("Content-Length", "0")
        if session:
            how = f"Max-Age={WEEKS_8}; Path=/; HttpOnly; SameSite=Lax; Secure"
            self.send_header("Set-Cookie", f"{COOKIE}={session}; {how}")
        self.end_headers()

    def log_message(self, text: str, *words: Any) -> None:
        """The real one says nothing of each request."""


def _copy(env: dict[str, str], workspace: str, known: str, file: str) -> Path:
    return Path(env["AIRLOCK_REQUEST_DIR"], workspace, known, file)


def upload(env: dict[str, str]) -> None:
    """Once: what was released and is not there yet, each a minute after the try before it."""
    with Store(Path(env["AIRLOCK_WORK_DIR"])) as store:
        _upload(env, store, Api(env))


def _upload(env: dict[str, str], store: Store, api: Api) -> None:
    for request in store.requests("APPROVED"):
        for each in store.files(request["id"]):
            tried = each["upload_attempted_at"]
            if each["uploaded"] or (tried and tried > now(RETRY_S)):
                continue
            attempt = each["upload_attempts"] + 1
            store.set_file(
                each["id"], upload_attempts=attempt, upload_attempted_at=now()
            )
            path = _copy(env, request["workspace"], request["id"], each["file_id"])
            what = f"{request['id']} - default/{each['relpath']}"
            try:
                data, by = path.read_bytes(), each["released_by"]
                api.upload(request["id"], each["relpath"], data, by)
            except (Refused, OSError, ValueError, HTTPException) as error:
                say("ERROR", f"Upload for {what} failed (attempt {attempt}): {error}")
                continue
            store.set_file(each["id"], uploaded=1, uploaded_at=now())
            say("INFO", f"File uploaded: {request['id']} - {each['relpath']}")
        if all(each["uploaded"] for each in store.files(request["id"])):
            store.set(request["id"], "RELEASED")


def uploader(env: dict[str, str]) -> None:
    say("WARNING", "File uploader started: watching for tasks")
    while True:
        upload(env)
        time.sleep(1)


class Server(ThreadingHTTPServer):
    """Each connection is shown what the files of the certificate have by then.

    As gunicorn's four workers: each is with one until it has its answer, or has said nothing for long.
    """

    daemon_threads = True
    workers = threading.Semaphore(4)

    def __init__(self, env: dict[str, str], pair: tuple[str, str], port: int) -> None:
        super().__init__(("0.0.0.0", port), type("Pages", (Pages,), {"env": env}))
        self.pair = pair

    def finish_request(self, request: Any, client_address: Any) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.pair)
        request.settimeout(30)
        with self.workers:
            secure = context.wrap_socket(request, server_side=True)
            super().finish_request(secure, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        say("WARNING", f"a connection ended: {sys.exc_info()[1]!r}")


def main(words: list[str]) -> int:
    env = dict(os.environ)
    if words == [UPLOADER]:
        uploader(env)
    parser = argparse.ArgumentParser()
    parser.add_argument("--certfile", required=True)
    parser.add_argument("--keyfile", required=True)
    asked, _ = parser.parse_known_args(words)
    for sentence in needs.missing(env):
        say("ERROR", f"RuntimeError: {sentence}")
        return 1
    for sentence in needs.wrong(env):
        say("ERROR", f"the host is wrong: {sentence}")
        return 1
    held = Store(
        Path(env["AIRLOCK_WORK_DIR"])
    )  # as long as it runs there is a log beside it
    subprocess.Popen([sys.executable, "-m", "sandbox.airlock", UPLOADER])
    page = Server(env, (asked.certfile, asked.keyfile), PORT)
    say("INFO", f"Listening at: https://0.0.0.0:{PORT}")
    with held:
        page.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
