"""Whom Airlock takes for logged in, by sessions as Django writes them, and that they are no longer."""

import pytest

from backend_server.people import logins
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
