"""Root runs only what root alone can have written, and says who else could."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backend_server.entry import writable_by_others


ENTRY = Path(__file__).parents[3] / "backend_server/entry.py"


@pytest.fixture
def checkout(place):
    def make():
        top = place / "srv" / "checkout"
        for folder in (".git/objects/ab", "backend_server/host", "etc"):
            (top / folder).mkdir(parents=True)
        for path in (".git/config", ".git/objects/ab/cd", "etc/x", "developers"):
            (top / path).touch()
        (top / "backend_server/entry.py").write_text(ENTRY.read_text())
        os.chmod(place, 0o755)
        return top

    return make


def test_a_checkout_of_roots(checkout):
    assert writable_by_others(str(checkout())) == ""


@pytest.mark.parametrize("mode", [0o020, 0o002], ids=["group", "all"])
@pytest.mark.parametrize(
    "path", [".", "..", "etc", "etc/x", ".git", ".git/config", "backend_server/host"]
)
def test_what_others_can_write(checkout, path, mode):
    top = checkout()
    found = (top / path).resolve()
    found.chmod(0o755 | mode)
    assert writable_by_others(str(top)) == str(found)


@pytest.mark.parametrize("path", [".", "..", "etc/x", "backend_server"])
def test_what_others_own(checkout, path):
    top = checkout()
    found = (top / path).resolve()
    os.chown(found, 1234, 0)
    assert writable_by_others(str(top)) == str(found)


def test_links_lead_nowhere_else(checkout, place):
    top = checkout()
    theirs = place / "theirs"
    theirs.mkdir()
    os.chown(theirs, 1234, 1234)
    os.symlink(theirs, top / "backend_server/components")
    assert writable_by_others(str(top)) == str(top / "backend_server/components")


def test_links_inside_are_fine(checkout):
    top = checkout()
    os.symlink("x", top / "etc/y")
    assert writable_by_others(str(top)) == ""


def test_the_virtual_environments_of_test_sh_are_no_obstacle(checkout):
    top = checkout()
    (top / ".venv/root/newest/bin").mkdir(parents=True)
    os.symlink(sys.executable, top / ".venv/root/newest/bin/python")
    assert writable_by_others(str(top)) == ""


def test_a_sticky_folder_above_is_safe_and_one_inside_is_not(checkout):
    top = checkout()
    top.parent.chmod(0o1777)
    assert writable_by_others(str(top)) == ""
    (top / "etc").chmod(0o1777)
    assert writable_by_others(str(top)) == str(top / "etc")


def test_a_worktree_has_no_objects_of_its_own(checkout):
    top = checkout()
    for path in (".git/objects/ab/cd", ".git/objects/ab", ".git/objects"):
        path = top / path
        path.rmdir() if path.is_dir() else path.unlink()
    assert writable_by_others(str(top)) == ""


def test_nothing_of_such_a_checkout_is_imported(checkout, place):
    top = checkout()
    (top / "backend_server/cli.py").write_text("print('imported')\n")
    (top / "backend_server/cli.py").chmod(0o666)
    done = subprocess.run(
        [sys.executable, "-I", "-S", top / "backend_server/entry.py", "test"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert f"error: {top}/backend_server/cli.py can be changed by" in done.stderr
    assert "try: chown -R root:root" in done.stderr
