"""The stand-in Airlock: who may do what there, and that what was released is uploaded."""

import hashlib
import json
from email.message import Message
from io import BytesIO

import pytest

from sandbox import releaseapi
from sandbox.airlock import __main__ as airlock
from sandbox.airlock import api, needs
from sandbox.airlock.store import Store
from sandbox.releaseapi import Asked
from sandbox.releases import Releases, token


DATA = b"sex,n\nF,3120\n"
NAME = "emis.backends.opensafely.org"


class Place:
    """An Airlock, and where it releases to: what one asks, the other answers."""

    def __init__(self, folder, monkeypatch):
        self.releases = Releases(folder / "releases", ["emis"])
        self.releases.workspace("trial")
        self.releases.person("rita", ["trial"])
        for name in ("gus", "hal"):
            self.releases.person(name, checker=True)
        for name in ("work", "workspaces/trial", "requests"):
            (folder / name).mkdir(parents=True)
        self.workspace = folder / "workspaces/trial"
        (self.workspace / "metadata").mkdir()
        (self.workspace / "counts.csv").write_bytes(DATA)
        said = {"level": "moderately_sensitive", "excluded": False}
        said["content_hash"] = hashlib.sha256(DATA).hexdigest()
        text = json.dumps({"outputs": {"counts.csv": said}})
        (self.workspace / "metadata/manifest.json").write_text(text)
        self.env = {
            "AIRLOCK_WORK_DIR": str(folder / "work"),
            "AIRLOCK_WORKSPACE_DIR": str(folder / "workspaces"),
            "AIRLOCK_REQUEST_DIR": str(folder / "requests"),
            "AIRLOCK_API_ENDPOINT": "https://release.opensafely.org/api/v2",
            "AIRLOCK_API_TOKEN": token("emis"),
            "BACKEND": "emis",
            "DJANGO_ALLOWED_HOSTS": NAME,
            "DJANGO_DEBUG": "False",
            "DJANGO_SECRET_KEY": "invented",
        }
        self.down = ""
        monkeypatch.setattr(api.Api, "post", self._post)
        self.store = Store(folder / "work")

    def _post(self, path, body, user="", **headers):
        if self.down:
            raise api.Refused(self.down)
        message = Message()
        told = {"Authorization": self.env["AIRLOCK_API_TOKEN"], "OS-User": user}
        for name, text in {**told, **headers}.items():
            message[name.replace("_", "-")] = text
        asked = Asked("POST", path, message, body)
        said = releaseapi.answer(self.releases.folder, self.releases.tokens, asked)
        if said.status >= 400:
            raise api.Refused(f"{said.status} {said.body.decode()}")
        return json.loads(said.body or b"{}")

    def ask(self, path, body="", session="", host=NAME):
        """(status, headers and page) of one request."""
        pages = airlock.Pages.__new__(airlock.Pages)
        pages.env, pages.path, pages.headers = self.env, path, Message()
        pages.headers["Host"], pages.headers["Content-Length"] = host, str(len(body))
        pages.headers["Cookie"] = f"{airlock.COOKIE}={session}" if session else ""
        pages.rfile, pages.wfile = BytesIO(body.encode()), BytesIO()
        pages.request_version, pages.requestline = "HTTP/1.1", path
        (pages.do_POST if body else pages.do_GET)()
        text = pages.wfile.getvalue().decode()
        return int(text.split()[1]), text

    def login(self, name):
        words = self.releases.login(name)
        status, text = self.ask(
            "/login/", f"user={name}&token={words.replace(' ', '+')}"
        )
        assert status == 302, text
        return text.partition(f"{airlock.COOKIE}=")[2].partition(";")[0]

    def request(self):
        rita = self.login("rita")
        assert self.ask("/requests/", "workspace=trial&path=counts.csv", rita)[0] == 302
        return self.store.requests()[0]["id"]

    def release(self):
        known = self.request()
        for name in ("gus", "hal"):
            assert (
                self.ask(f"/requests/{known}/approve", "x=", self.login(name))[0] == 302
            )
        assert self.ask(f"/requests/{known}/release", "x=", self.login("hal"))[0] == 302
        return known

    def status(self):
        return self.store.requests()[0]["status"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    made = Place(tmp_path, monkeypatch)
    yield made
    made.store.database.close()


def test_what_two_others_approved_arrives_once(place):
    place.release()
    assert place.status() == "APPROVED"
    for _ in range(2):
        airlock.upload(place.env)
        assert place.status() == "RELEASED"
        assert place.releases.released() == [{"counts.csv": DATA}]


def test_what_does_not_arrive_is_tried_again_a_minute_later(place, monkeypatch, capsys):
    known = place.release()
    place.down = "502 <h1>Bad gateway"
    for _ in range(2):
        airlock.upload(place.env)
    said = f"ERROR Upload for {known} - default/counts.csv failed (attempt 1): 502 <h1>"
    assert capsys.readouterr().out.count(said) == 1
    (file,) = place.store.files(known)
    assert (file["uploaded"], file["upload_attempts"]) == (0, 1)
    place.down = ""
    monkeypatch.setattr(airlock, "RETRY_S", -1)
    airlock.upload(place.env)
    assert place.status() == "RELEASED"


def test_what_no_job_made_is_asked_for_in_vain(place):
    rita = place.login("rita")
    (place.workspace / "mine.csv").write_bytes(DATA)
    assert place.ask("/requests/", "workspace=trial&path=mine.csv", rita)[0] == 403
    (place.workspace / "counts.csv").write_bytes(DATA + b"M,3\n")
    assert place.ask("/requests/", "workspace=trial&path=counts.csv", rita)[0] == 403
    assert place.store.requests() == []


def test_nobody_judges_their_own(place):
    known = place.request()
    assert place.ask(f"/requests/{known}/approve", "x=", place.login("rita"))[0] == 403
    gus = place.login("gus")
    assert place.ask(f"/requests/{known}/approve", "x=", gus)[0] == 302
    assert place.ask(f"/requests/{known}/approve", "x=", gus)[0] == 403
    assert place.status() == "PARTIALLY_REVIEWED"


def test_pages_are_for_who_has_logged_in(place):
    assert place.ask("/")[1].count("Location: /login/") == 1
    status, page = place.ask("/login/")
    assert (status, "<title>Login | Airlock</title>" in page) == (200, True)
    assert "Invalid user or token" in place.ask("/login/", "user=gus&token=a+b+c")[1]
    gus = place.login("gus")
    assert "Requests | Airlock" in place.ask("/", session=gus)[1]
    place.store.database.execute("DELETE FROM django_session")
    assert place.ask("/", session=gus)[0] == 302, "whoever lost it is out at once"


def test_a_wrong_name_and_an_empty_key(place):
    assert place.ask("/login/", host="127.0.0.1")[0] == 400
    place.env["DJANGO_SECRET_KEY"] = ""
    assert list(needs.missing(place.env)) == [], "it starts all the same"
    assert place.ask("/login/")[0] == 500


def test_what_it_does_not_start_without(place):
    env = {**place.env, "AIRLOCK_API_TOKEN": "", "AIRLOCK_API_ENDPOINT": "https://a/"}
    assert list(needs.missing(env)) == [
        "AIRLOCK_API_TOKEN is not set",
        "AIRLOCK_API_ENDPOINT ends with a slash",
    ]


def test_what_a_host_is_held_to(place):
    said = " ".join(needs.wrong({**place.env, "CONTROLLER_TASK_API_TOKEN": "x"}))
    assert "CONTROLLER_TASK_API_TOKEN is in its environment" in said
    assert f"{place.env['AIRLOCK_WORKSPACE_DIR']} can be written to" in said
    assert "NoNewPrivs is not 1" in said or "CapBnd" in said
    assert f"others see what is in {place.env['AIRLOCK_WORK_DIR']}" in said


def test_its_files_are_named_by_what_is_in_them(place, tmp_path):
    known = place.request()
    copy = tmp_path / "requests/trial" / known / hashlib.sha256(DATA).hexdigest()
    assert copy.read_bytes() == DATA
