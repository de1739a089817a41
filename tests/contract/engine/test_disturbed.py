"""Killed, or refused by the disk, at any step: what is there is old or new, and the next run ends it.

strace counts the steps of an undisturbed run, then disturbs one after the other.
"""

import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backend_server.base.hosts_block import HostsBlock
from backend_server.base.setting import LoginDefs
from backend_server.engine import history
from backend_server.engine.engine import component, plan, walk
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.resources import Directory, File, FileMode, NoFile
from backend_server.text.errors import UserError
from tests.contract.engine.walk_once import MARK


SCRIPT = Path(__file__).with_name("walk_once.py")
STEPS = (
    "openat,write,fchown,fchmod,chmod,fsync,ftruncate,"
    "mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,symlink,symlinkat"
)
# What a call answers when the disk is full, broken, or read-only: one after the other.
SAYS_NO = ("ENOSPC", "EIO", "EROFS")

FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/bash\nada:x:1000:1000::/home/ada:/bin/sh\n",
    "etc/group": "root:x:0:\nada:x:1000:\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/login.defs": "# first\nUMASK 022\n",
    "etc/old": "old\n",
    "proc/sys/kernel/random/boot_id": "b007\n",
}

DISTURBED = [
    File("/etc/new/file", "new\n", mode=0o640, owner="ada", notify=("x.service",)),
    File("/etc/old", "new\nand longer\n", mode=0o600, owner="ada", group="ada"),
    FileMode("/etc/old", 0o600),
    NoFile("/etc/old"),
    Directory("/etc/folder", mode=0o2770, owner="ada", group="ada"),
    HostsBlock("/etc/hosts", "192.0.2.7 jobs.example\n"),
    HostsBlock("/etc/none", "192.0.2.7 jobs.example\n"),
    LoginDefs("UMASK", "027"),
]


@pytest.fixture
def root(place):
    return place / "root"


def start(root, resource, *options):
    """One run from the beginning, disturbed as OPTIONS of strace say. All that was said."""
    shutil.rmtree(root, ignore_errors=True)
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    log = root.parent / "log"
    argv = [sys.executable, "-I", "-S", "-B", SCRIPT, root, repr(resource)]
    done = subprocess.run(
        [
            "strace",
            "-f",
            "--seccomp-bpf",
            "-o",
            log,
            f"--trace={STEPS},access",
            *options,
            *argv,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout, log.read_text()


def steps(root, resource):
    """(name, how many of that name from the start) of each step of an undisturbed run."""
    said, log = start(root, resource)
    assert "failed" not in said, said
    counts, begun = {}, False
    for line in log.splitlines():
        name = line.split()[1].partition("(")[0]
        counts[name] = counts.get(name, 0) + 1
        begun = begun or MARK in line
        if begun and name in STEPS.split(",") and " write(1, " not in line:
            yield name, counts[name]


def content(root):
    """What is at every path below the root, but for the time and for newlines at the end."""
    return {str(path.relative_to(root)): text_at(path) for path in root.rglob("*")}


def text_at(path):
    if path.is_symlink():
        return os.readlink(path)
    text = path.read_text() if path.is_file() else ""
    return re.sub(r" \d{4}-\S+Z ", " TIME ", text).rstrip("\n")


def settles(root, resource):
    """The next run makes it so, and leaves nothing of the one before."""
    declared = [component("disturbed", [resource])]
    for outcome in walk(declared, Host(root)):
        assert outcome.error is None, outcome.error
    assert not [o for o in plan(declared, HostReader(root)) if o.changes]
    assert [str(p) for p in root.rglob(".*")] == [], "something was left behind"


def nothing_is_half_done(root, resource, old, new):
    for name, found in content(root).items():
        if not name.endswith(".tmp"):
            assert found in (old.get(name), new.get(name)), name
    wanted = getattr(resource, "mode", 0o777)
    there = Path(f"{root}{getattr(resource, 'path', '/none')}")
    if there.is_dir():
        assert there.stat().st_mode & 0o777 & ~wanted == 0, "open too wide"


def before_and_after(root, resource):
    start(root, NoFile("/nothing/there"))
    old = content(root)
    start(root, resource)
    return old, content(root)


@pytest.mark.parametrize("resource", DISTURBED, ids=str)
def test_killed_at_any_step(root, resource):
    old, new = before_and_after(root, resource)
    found = list(steps(root, resource))
    assert len(found) > 2
    for name, count in found:
        start(root, resource, f"--inject={name}:signal=KILL:when={count}")
        nothing_is_half_done(root, resource, old, new)
        settles(root, resource)


@pytest.mark.parametrize("resource", DISTURBED, ids=str)
def test_the_disk_says_no_at_any_step(root, resource):
    old, new = before_and_after(root, resource)
    found = steps(root, resource)
    for (name, count), says in zip(list(found), itertools.cycle(SAYS_NO)):
        inject = f"--inject={name}:error={says}:when={count}"
        said, _ = start(root, resource, inject)
        assert said.startswith(("failed ", "added", "changed")), f"{inject}: {said}"
        assert "Traceback" not in said
        nothing_is_half_done(root, resource, old, new)
        settles(root, resource)


BIG = "x" * 70 + "\n"


@pytest.fixture
def full(place):
    """A function that makes a host on a disk of 64 KiB."""

    def make():
        root = place / "full"
        root.mkdir()
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", root], check=True
        )
        for name, text in FILES.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return root

    return make


@pytest.mark.parametrize(
    "resource",
    [
        File("/etc/old", BIG * 2000),
        HostsBlock("/etc/hosts", BIG * 2000),
        LoginDefs("UMASK", BIG.strip() * 2000),
    ],
    ids=str,
)
def test_the_disk_is_full(full, resource):
    root = full()
    old = content(root)
    (outcome,) = walk([component("big", [resource])], Host(root))
    assert "No space left on device" in str(outcome.error)
    assert content(root) == old


def test_a_full_disk_costs_the_history_one_line_at_most(full):
    root = full()
    host, place = Host(root), root / history.HISTORY.lstrip("/")
    history.append(host, {"run": 1})
    filler = root / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass
    with pytest.raises(UserError, match="No space left"):
        history.append(host, {"run": 2, "long": "x" * 8192})
    filler.unlink()
    history.append(host, {"run": 3})
    assert [entry["run"] for entry in history.entries(host)] == [3, 1]
    assert place.read_text().endswith('{"run": 3}\n')
