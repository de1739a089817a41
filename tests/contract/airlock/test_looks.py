"""What looks at Airlock's database while nobody works on it, or somebody keeps it to themselves."""

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from backend_server.airlock.requests import requests
from backend_server.checkout.service import AIRLOCKS
from backend_server.host.writer import Host
from backend_server.people import logins, owned
from backend_server.people.doors import open_doors, shut_out
from backend_server.resources import Group, User
from backend_server.services import backup
from backend_server.text.errors import UserError
from backend_server.text.roles import MARKER
from tests.unit.example import ROOT


pytestmark = pytest.mark.share("Airlock")

FOLDER = Path(AIRLOCKS).parent
ENDS = {"stopped": "store.database.close()", "killed": "os.kill(os.getpid(), 9)"}
LEFT = {
    "stopped": ["db.sqlite3"],
    "killed": ["db.sqlite3", "db.sqlite3-shm", "db.sqlite3-wal"],
}
WORKS = f"""
import os
from pathlib import Path
from sandbox.airlock.store import Store
store = Store(Path({str(FOLDER)!r}))
store.begin_session({{"username": "gus"}})
store.add("trial", "rita", {{}})
"""


def idle(ends):
    """One that nobody has open: the log beside it is gone, or was left by who was killed."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path in FOLDER.iterdir():
        path.unlink()
    subprocess.run([sys.executable, "-c", WORKS + ENDS[ends]], cwd=ROOT, check=False)
    assert sorted(os.listdir(FOLDER)) == LEFT[ends]


def as_it_is():
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino)
        for path in [FOLDER, *FOLDER.iterdir()]
        if path.is_file()
    }


@pytest.mark.parametrize("ends", ENDS)
def test_a_look_changes_nothing_while_it_does_not_run(ends):
    """Nor does a copy; and each sees what is in the log."""
    idle(ends)
    before, folder = as_it_is(), FOLDER.stat().st_mtime_ns
    assert len(requests(())) == 1
    assert len(logins.of(AIRLOCKS, "gus")) == 1
    Path("/run/copies").mkdir()
    backup.copy_database(AIRLOCKS, "/run/copies/copy")
    assert as_it_is() == before
    assert FOLDER.stat().st_mtime_ns == folder
    assert len(requests((), "/run/copies/copy")) == 1


@contextlib.contextmanager
def kept_by_somebody():
    other = sqlite3.connect(AIRLOCKS, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    other.execute("CREATE TABLE other (x)")
    try:
        yield
    finally:
        other.close()


def test_where_it_cannot_be_read_nobody_is_taken_for_logged_out(monkeypatch):
    """All other doors are shut, and what is not known is told; then it is free, and they are out."""
    monkeypatch.setattr(owned, "files", lambda host, name: [])  # of the whole machine
    idle("stopped")
    host = Host()
    for each in (Group(MARKER), User("gus", home="/home/gus", marker=MARKER)):
        each.apply(host, each.check(host))
    with kept_by_somebody():
        with pytest.raises(UserError, match="cannot be read: .*locked"):
            requests(())
        assert "gus: 1 login to Airlock" in open_doors(host, "gus")
        with pytest.raises(UserError, match="still open .*gus: 1 login to Airlock"):
            list(shut_out(host, "gus"))
        assert open_doors(host, "gus") == {"gus: 1 login to Airlock"}
    assert len(logins.of(AIRLOCKS, "gus")) == 1
    list(shut_out(host, "gus"))
    assert logins.of(AIRLOCKS, "gus") == []
