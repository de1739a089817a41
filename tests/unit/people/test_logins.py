"""Whom Airlock takes for logged in, by sessions as Django writes them, and that they are no longer."""

import base64
import contextlib
import os
import sqlite3
import time

import pytest

from backend_server.airlock.requests import requests
from backend_server.host import sqlite
from backend_server.people import logins
from backend_server.services import backup
from backend_server.text.errors import UserError
from sandbox.airlock.store import Store


# As Django 5 wrote it for this name, with an invented key: packed, and signed.
DJANGOS = (
    "eyJfYXV0aF91c2VyX2lkIjoiZ3VzIn0:1sXyZ1:6X0mB1uH7hO3XyJb0Yt2m2y8z7d6b5a4c3d2e1f0a9b"
)


@pytest.fixture
def path(tmp_path):
    with Store(tmp_path) as store:
        for name in ("gus", "Gus", "hal"):
            store.begin_session({"username": name, "workspaces": ["w"] * 50})
        yield str(tmp_path / "db.sqlite3")


def test_theirs_end_and_no_other_ones(path):
    """While others have the database open; in which letters they write their name is nothing."""
    assert len(logins.of(path, "gus")) == 2
    logins.end(path, "gus")
    assert logins.of(path, "gus") == []
    assert len(logins.of(path, "hal")) == 1


def test_it_reads_what_django_wrote():
    assert logins.who(DJANGOS) == "gus"
    for text in ("", ".", ":", "a", ".AAAA", "W10", "bnVsbA", "eyJhIjoxfQ:x:y"):
        assert logins.who(text) == ""


def test_without_a_database_nobody_is(tmp_path):
    assert logins.of(str(tmp_path / "db.sqlite3"), "gus") == []
    with pytest.raises(UserError, match="gus is still logged in"):
        logins.end(str(tmp_path / "db.sqlite3"), "gus")


# What somebody who has taken over the container may have made of it, beside a login of gus.
DEEP = base64.urlsafe_b64encode(b"[" * 200_000).decode()
LAID = {
    "a number": "INSERT INTO django_session VALUES ('a', 5, '')",
    "bytes": "INSERT INTO django_session VALUES ('a', x'ff', '')",
    "no end of lists": f"INSERT INTO django_session VALUES ('a', '{DEEP}', '')",
    "no text": "INSERT INTO django_session VALUES ('a', CAST(x'ff' AS TEXT), '')",
    "no end of rows": "ALTER TABLE django_session RENAME TO kept; CREATE VIEW django_session AS WITH RECURSIVE "
    "r(session_key, session_data) AS (SELECT 'a', 'b' UNION ALL SELECT * FROM r) SELECT * FROM r",
    "no end of work": "CREATE TRIGGER t BEFORE DELETE ON django_session BEGIN SELECT count(*) FROM (WITH RECURSIVE "
    "r(n) AS (SELECT 1 UNION ALL SELECT n FROM r) SELECT * FROM r); END",
}


@pytest.mark.parametrize("laid", LAID.values(), ids=[*LAID])
def test_whatever_it_holds_there_is_an_answer(path, laid, monkeypatch):
    """Who is shut out of the host waits for this one."""
    monkeypatch.setattr(sqlite, "PATIENCE_S", 0.5)
    with contextlib.closing(sqlite3.connect(path)) as made:
        made.executescript(laid)
    began = time.monotonic()
    found = logins.of(path, "gus")
    with contextlib.suppress(UserError):
        logins.end(path, "gus")
    assert time.monotonic() < began + 10
    assert len(found) == 2 or laid in (LAID["no end of rows"], LAID["no text"])


def test_nobody_waits_for_a_pipe(tmp_path):
    path = str(tmp_path / "db.sqlite3")
    os.mkfifo(path)
    assert logins.of(path, "gus") == []
    with pytest.raises(UserError, match="is no file"):
        requests((), path)
    with pytest.raises(UserError, match="is no file"):
        backup.copy_database(path, f"{path}.copy")
