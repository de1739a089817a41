"""Whenever a pass ends, whatever Airlock reads in the manifest is there, byte for byte."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import time

import pytest

from backend_server.review import shelf
from tests.contract.review.laid import (
    CSV,
    HIGH,
    MARKED,
    MEDIUM,
    REVIEW,
    STATE,
    TABLE,
    declare,
    edit,
    entry,
    job,
    lay,
    prepare,
    shown,
)


pytestmark = pytest.mark.share("Airlock")

OTHER = b"sex,n\nF,[REDACTED]\nM,[REDACTED]\n"
CALLS = ("rename", "unlink", "mkdir", "rmdir", "write", "fsync", "fchmod")


def busy():
    """A workspace in which the next pass has all there is to do; what that comes to."""
    prepare()
    outputs = dict.fromkeys(
        (CSV, "taken/back.csv", "again.csv", "goes/away.csv"), TABLE
    )
    job("trial", {**outputs, "folder/file.csv": TABLE, "becomes": TABLE})
    lay()
    for path in (CSV, "taken/back.csv", "again.csv"):
        edit(MEDIUM / "trial" / path, MARKED)
    lay()
    edit(MEDIUM / "trial" / CSV, OTHER)
    edit(MEDIUM / "trial/taken/back.csv", TABLE)
    for path in ("folder", "becomes"):
        for top in (HIGH, MEDIUM):
            gone = top / "trial" / path
            shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    new = {"again.csv": MARKED + b"X,55\n", "new.csv": TABLE, "folder": TABLE}
    job("trial", {**new, "becomes/one.csv": TABLE}, name="job2")
    out = {**entry(TABLE), "out_of_date_output": True}
    declare(
        "trial", dict.fromkeys(("goes/away.csv", "folder/file.csv", "becomes"), out)
    )
    whole = {CSV: TABLE, "taken/back.csv": TABLE, f"redacted/{CSV}": OTHER}
    return {**whole, **new, "becomes/one.csv": TABLE}


def killed(after):
    """Whether a pass was killed before so many calls that change something."""
    child = os.fork()
    if not child:
        left = [after]

        def wrapped(call):
            def instead(*words, **options):
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                if call.__name__ == "write" and left[0] == 0:
                    return call(words[0], words[1][: len(words[1]) // 2 + 1])
                return call(*words, **options)

            return instead

        for name in CALLS:
            setattr(os, name, wrapped(getattr(os, name)))
        try:
            lay()
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def restored(kept):
    """The tree and the last pass's state are as they were, in place."""
    for path, copy in kept.items():
        shutil.rmtree(path)
        subprocess.run(["cp", "-a", copy, path], check=True)


def test_a_kill_before_any_step(monkeypatch):
    monkeypatch.setattr(shelf, "GRACE_S", 0)
    whole = busy()
    places = {REVIEW: REVIEW.with_name("kept"), STATE: STATE.with_name("kept")}
    for path, copy in places.items():
        subprocess.run(["cp", "-a", path, copy], check=True)
    before, steps = shown(), 0
    while killed(steps):
        found = shown()
        assert all(found[path] in (before.get(path), whole.get(path)) for path in found)
        said = lay()
        assert shown() == whole, said
        left = {str(p.relative_to(REVIEW / "trial")) for p in REVIEW.rglob("*")}
        assert not any("part" in path or "goes" in path for path in left)
        restored(places)
        steps += 1
    assert steps > 30
    assert shown() == whole


def test_while_it_waits_nothing_that_changes_is_named_and_no_byte_has_changed(
    monkeypatch,
):
    """Who has read the manifest of before has the time to read what it names."""
    busy()
    before, waits = shown(), []

    def look(seconds):
        waits.append(seconds)
        assert set(shown()) == {CSV, "taken/back.csv"}
        for path, data in before.items():
            assert (REVIEW / "trial" / path).read_bytes() == data

    monkeypatch.setattr(time, "sleep", look)
    lay()
    assert waits == [2]


def test_a_pass_after_a_kill_waits_as_well(monkeypatch):
    """Somebody may have read the manifest just before that."""
    busy()
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    monkeypatch.setattr(shelf.Shelf, "_remove", lambda *_: os._exit(3))
    child = os.fork()
    if not child:
        lay()
        os._exit(0)
    assert os.WEXITSTATUS(os.waitpid(child, 0)[1]) == 3
    monkeypatch.undo()
    monkeypatch.setattr(time, "sleep", waits.append)
    lay()
    assert waits == [2]


def test_a_full_disk_is_told_and_what_is_named_is_there(monkeypatch):
    monkeypatch.setattr(shelf, "GRACE_S", 0)
    prepare(size="4m")
    job("trial", {CSV: TABLE})
    lay()
    job("trial", {"large.csv": b"n\n" + b"5\n" * 400_000}, name="job2")
    (HIGH / "filler").write_bytes(b"x" * (2 << 20))
    said = "\n".join(lay())
    assert os.strerror(errno.ENOSPC) in said
    assert shown() in ({CSV: TABLE}, {})
    (HIGH / "filler").unlink()
    lay()
    assert set(shown()) == {CSV, "large.csv"}


def test_an_agent_that_writes_without_pause_never_makes_a_wrong_entry(monkeypatch):
    monkeypatch.setattr(shelf, "GRACE_S", 0.2)
    prepare()
    versions = [b"n\n%d\n" % (5 * n) for n in range(1, 4)]
    job("trial", {CSV: versions[0]})
    lay()
    ended = time.monotonic() + 5
    agent = os.fork()
    if not agent:
        for n in range(100_000):
            job("trial", {CSV: versions[n % 3], "b.csv": versions[n % 2]}, name=f"j{n}")
            if time.monotonic() > ended:
                os._exit(0)
    airlock = os.fork()
    if not airlock:
        views = 0
        while time.monotonic() < ended:
            assert set(shown()) <= {
                CSV,
                "b.csv",
                *(f"redacted/{p}" for p in (CSV, "b.csv")),
            }
            views += 1
        os._exit(0 if views > 100 else 2)
    passes = 0
    while time.monotonic() < ended:
        lay()
        passes += 1
    assert os.waitpid(agent, 0)[1] == 0
    assert os.waitpid(airlock, 0)[1] == 0
    assert passes > 3
    lay()
    assert set(shown()) == {CSV, "b.csv"}


def test_two_passes_never_meet():
    busy()
    children = []
    for _ in range(2):
        child = os.fork()
        if not child:
            lay()
            os._exit(0)
        children.append(child)
    assert [os.waitpid(each, 0)[1] for each in children] == [0, 0]
    assert f"redacted/{CSV}" in shown()
