"""Root ends logins by the rights of whom the database is: what leads elsewhere is left alone."""

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from backend_server.people import logins
from backend_server.text.errors import UserError
from sandbox.airlock.store import Store


pytestmark = pytest.mark.share("people")

UID = 10000


@pytest.fixture
def roots():
    """A database of root's with a login of gus, as Airlock has them."""
    folder = Path("/var/lib/roots")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    with Store(folder) as store:
        store.begin_session({"username": "gus"})
    return folder / "db.sqlite3"


@pytest.fixture
def theirs():
    """The folder that the container has, whoever is in it."""
    folder = Path("/var/lib/theirs")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    os.chown(folder, UID, UID)
    return folder


def count(path):
    asked = sqlite3.connect(str(path)).execute("SELECT count(*) FROM django_session")
    return asked.fetchone()[0]


def test_a_link_leads_nowhere(roots, theirs):
    (theirs / "db.sqlite3").symlink_to(roots)
    assert logins.of(str(theirs / "db.sqlite3"), "gus") == []
    with pytest.raises(UserError, match="gus is still logged in"):
        logins.end(str(theirs / "db.sqlite3"), "gus")
    assert count(roots) == 1
    assert (os.geteuid(), os.getegid()) == (0, 0)


def test_what_they_may_not_root_does_not_for_them(theirs):
    """To write in that folder, as what it notes down first is in there."""
    with Store(theirs) as store:
        store.begin_session({"username": "gus"})
        store.database.execute("PRAGMA journal_mode = delete")
    for path in theirs.iterdir():
        os.chown(path, UID, UID)
    theirs.chmod(0o500)
    with pytest.raises(UserError, match="gus is still logged in"):
        logins.end(str(theirs / "db.sqlite3"), "gus")
    theirs.chmod(0o700)
    logins.end(str(theirs / "db.sqlite3"), "gus")
    assert count(theirs / "db.sqlite3") == 0


def test_their_own_is_theirs_afterwards(theirs):
    with Store(theirs) as store:
        store.begin_session({"username": "gus"})
        for path in theirs.iterdir():
            os.chown(path, UID, UID)
        logins.end(str(theirs / "db.sqlite3"), "gus")
        assert count(theirs / "db.sqlite3") == 0
        assert {path.stat().st_uid for path in theirs.iterdir()} == {UID}
