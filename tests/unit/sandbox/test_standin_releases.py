"""The stand-in that outputs are released to answers as the real one was seen to."""

import hashlib
import json
from email.message import Message

import pytest

from sandbox import releaseapi, releaseform
from sandbox.releaseapi import Asked
from sandbox.releases import Releases, token


DATA = b"sex,n\nF,3120\n"
FILE = {
    "name": "output/counts.csv",
    "url": "output/counts.csv",
    "size": len(DATA),
    "sha256": hashlib.sha256(DATA).hexdigest(),
    "date": "2026-11-29T12:00:00Z",
    "metadata": {},
    "review": None,
}
ID = "01JZ5W4Q8Y3K7N2M6P9R0S1T2V"
WHOLE = {
    "files": [FILE],
    "metadata": {"tool": "airlock", "airlock_id": ID},
    "review": None,
}
NO_USER = "Authentication credentials were not provided."
DIFFERS = (
    "Contents of uploaded file does not match the file which a review was requested for"
)
NO_NAME = (
    "Missing filename. Request should include a Content-Disposition header with a filename "
    "parameter."
)


class Api:
    def __init__(self, folder):
        self.releases = Releases(folder, ["emis", "tpp"])
        self.releases.workspace("trial")
        self.releases.workspace("other")
        self.releases.person("rita", ["trial"])
        self.releases.person("gus", checker=True)
        self.releases.person("hal", checker=True)

    def ask(self, path, body=b"", method="POST", **headers):
        message = Message()
        usual = {"Authorization": token("emis"), "OS_User": "gus"}
        for name, text in {**usual, **headers}.items():
            if text is not None:
                message[name.replace("_", "-")] = text
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        if "Content_Type" not in headers:
            message["Content-Type"] = "application/json"
        if "Content_Length" not in headers:
            message["Content-Length"] = str(len(data))
        asked = Asked(method, path, message, data)
        said = releaseapi.answer(self.releases.folder, self.releases.tokens, asked)
        try:
            return said.status, json.loads(said.body)
        except ValueError:
            return said.status, said.body.decode()

    def create(self, body=WHOLE, workspace="trial", **headers):
        return self.ask(f"releases/workspace/{workspace}", body, **headers)

    def upload(self, data=DATA, name="output/counts.csv", release=ID, **headers):
        named = {"Content_Disposition": f'attachment; filename="{name}"'}
        kind = {"Content_Type": "application/octet-stream"}
        return self.ask(
            f"releases/release/{release}", data, **{**named, **kind, **headers}
        )


@pytest.fixture
def api(tmp_path):
    return Api(tmp_path / "releases")


def file(**fields):
    return {
        **WHOLE,
        "files": [{k: v for k, v in {**FILE, **fields}.items() if v != "-"}],
    }


def test_a_release_is_made_once_and_arrives_once(api):
    made = api.create()
    assert made[0] == 201
    assert made[1]["release_id"] == ID
    assert made[1]["release_url"].endswith(f"/invented/trial/releases/{ID}/")
    assert api.create(OS_User="hal") == made
    assert api.upload() == (201, "")
    why = "This version of 'output/counts.csv' has already been uploaded from backend 'emis'"
    assert api.upload() == (400, {"detail": why})
    assert api.upload(b"other") == (400, {"detail": why}), "asked before the hash"
    assert api.create() == made
    assert api.releases.released() == [{"output/counts.csv": DATA}]


@pytest.mark.parametrize(
    ("headers", "status", "said"),
    [
        ({"Authorization": None}, 403, "Authorization header is missing"),
        ({"Authorization": ""}, 403, "Authorization header is empty"),
        ({"Authorization": "wrong"}, 403, "Invalid token"),
        ({"Authorization": f"Bearer {token('emis')}"}, 403, "Invalid token"),
        ({"OS_User": None}, 403, NO_USER),
        ({"OS_User": "nobody"}, 403, NO_USER),
        ({"OS_User": "rita"}, 403, NO_USER),
        ({"method": "GET"}, 403, "Invalid user"),
        ({"method": "PUT"}, 405, 'Method "PUT" not allowed.'),
        ({"workspace": "Trial"}, 404, "No Workspace matches the given query."),
        (
            {"workspace": "none", "Authorization": "wrong"},
            404,
            "No Workspace matches the given query.",
        ),
    ],
)
def test_who_may_not_create(api, headers, status, said):
    assert api.create(**headers) == (status, {"detail": said})


REQUIRED, NULL = ["This field is required."], ["This field may not be null."]
DATE = releaseform.problems(file(date="yesterday"))["files"]["0"]["date"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, {"files": REQUIRED, "metadata": REQUIRED, "review": REQUIRED}),
        (file(review="-"), {"files": {"0": {"review": REQUIRED}}}),
        (file(url="-"), {"files": {"0": {"url": REQUIRED}}}),
        (file(url=None), {"files": {"0": {"url": NULL}}}),
        ({**WHOLE, "metadata": None}, {"metadata": NULL}),
        (file(date="yesterday"), {"files": {"0": {"date": DATE}}}),
        (file(date=7), {"files": {"0": {"date": DATE}}}),
        (
            {**WHOLE, "files": [FILE, {**FILE, "name": "a.csv", "size": 16777217}]},
            {
                "files": {
                    "1": {"size": ["File size should be <16Mb. a.csv is 16.0MbMb"]}
                }
            },
        ),
    ],
)
def test_what_is_not_taken(api, body, said):
    assert api.create(body) == (400, said)
    assert api.releases.released() == []


def test_what_is_no_json(api):
    status, said = api.create(b"hello")
    assert (status, said["detail"][:18]) == (400, "JSON parse error -")


@pytest.mark.parametrize(
    "body",
    [
        file(date="2026-11-29T12:00:00"),
        file(size=16777216),
        file(size=-1, sha256="nonsense", name="../x.pdf"),
        {**WHOLE, "files": []},
        {**WHOLE, "files": [FILE, FILE]},
    ],
)
def test_what_is_not_checked(api, body):
    assert api.create(body)[0] == 201


def test_only_hashes_are_compared(api):
    api.create()
    assert api.create(file(name="output/other.csv"))[0] == 201
    said = f"File output/other.csv not requested in release {ID}"
    assert api.upload(name="output/other.csv") == (400, {"detail": said})
    went_wrong = (500, "<h1>Server Error (500)</h1>")
    assert api.create(file(sha256="0" * 64)) == went_wrong
    assert api.create(workspace="other") == went_wrong
    assert api.create(Authorization=token("tpp")) == went_wrong


def test_without_an_id_each_is_a_new_one(api):
    without = {**WHOLE, "metadata": {"tool": "airlock"}}
    first, second = (api.create(without)[1]["release_id"] for _ in range(2))
    assert first != second
    for name in ("x" * 27, "a/b"):
        assert api.create({**WHOLE, "metadata": {"airlock_id": name}})[0] == 500


@pytest.mark.parametrize(
    ("how", "status", "said"),
    [
        ({"data": b"x"}, 400, DIFFERS),
        ({"name": "counts.csv"}, 400, f"File counts.csv not requested in release {ID}"),
        ({"Authorization": token("tpp")}, 400, "Release is from backend emis not tpp"),
        ({"data": b""}, 400, "No data uploaded"),
        ({"Content_Disposition": None}, 400, NO_NAME),
        ({"Content_Disposition": 'form-data; name="x"'}, 400, NO_NAME),
        ({"release": "none"}, 404, "No Release matches the given query."),
        ({"Authorization": "wrong"}, 403, "Invalid token"),
        ({"OS_User": "rita"}, 403, NO_USER),
    ],
)
def test_what_is_not_uploaded(api, how, status, said):
    api.create()
    assert api.upload(**how) == (status, {"detail": said})
    assert api.upload() == (201, "")


def test_what_is_too_large(api):
    api.create()
    said = ["File is too large, it must be below 16.0Mb"]
    assert api.upload(Content_Length="16777217") == (400, said)


def test_a_login_is_good_once(api):
    words = api.releases.login("gus")
    asked = {"user": "gus@example.org", "token": words.replace(" ", "")}
    wrong = {"user": "gus", "token": "no"}
    there = "releases/authenticate"
    assert api.ask(there, wrong) == (403, {"detail": "Token for gus was invalid"})
    status, said = api.ask(there, asked)
    assert (status, said["username"], said["output_checker"]) == (200, "gus", True)
    assert api.ask(there, asked) == (403, {"detail": "No login token set for gus"})
    nobody = {"user": "nobody", "token": words}
    why = "User matching query does not exist."
    assert api.ask(there, nobody) == (403, {"detail": why})
    assert api.ask(there, {"user": "gus"}) == (400, {"token": REQUIRED})
    assert api.ask(there, asked, Authorization="x") == (
        403,
        {"detail": "Invalid token"},
    )


def test_what_tells_a_good_token_from_a_wrong_one(api):
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    asked = ("releases/authorise", b"user=no-such-user")
    why = "No User matches the given query."
    assert api.ask(*asked, **form) == (404, {"detail": why})
    assert api.ask(*asked, **form, Authorization="x") == (
        403,
        {"detail": "Invalid token"},
    )
    assert api.ask("releases/authorise", {"user": "rita"})[1]["workspaces"] == {
        "trial": {
            "project_details": {"name": "invented", "ongoing": True, "orgs": []},
            "archived": False,
        }
    }


def test_events_and_the_rest(api):
    event = {"event_type": "x", "workspace": "trial", "request_author": "rita"}
    assert api.ask("airlock/events/", event) == (201, {"status": "ok"})
    assert api.releases.events() == [event]
    assert api.ask("airlock/events/", {**event, "workspace": "none"})[0] == 500
    assert api.ask("users/nobody/", method="GET") == (404, {"detail": "Not found."})
    status = ("workspaces/trial/status", b"")
    assert api.ask(*status, method="GET") == (200, {"uses_new_release_flow": True})
    assert api.create(workspace="trial/")[0] == 404
