"""Others write on the share, and on the tree, while outputs are pushed.

What is theirs stays, what is ours is whole, and everything that can go goes.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import itertools
import json
import os
import re
import resource
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend_server.checkout.backend import Share
from backend_server.host import opened
from backend_server.host.writer import Host
from backend_server.outputs import outgoing, patience, push, pushed
from backend_server.outputs import share as on_share
from backend_server.outputs.turns import BIG
from backend_server.outputs.within import INCOMING
from tests.contract.outputs.pushing import (
    MOUNT,
    PLACE,
    SHARE,
    WORKSPACES,
    half,
    lay,
    prepare,
    pushes,
    there,
)


pytestmark = pytest.mark.share("outputs")

REMOVES = Share("windows.example", "level4/outputs", "opensafely", removes=True)
AWAY = Path("/mnt/away")  # on this host, and not on the share


# ---- what others put there, by kind


def a_file(path):
    path.write_bytes(b"theirs")


def a_folder(path):
    path.mkdir()
    (path / "kept").write_bytes(b"theirs")


def a_link(path):
    path.symlink_to(AWAY)


def a_link_to_a_file(path):
    path.symlink_to(AWAY / "canary")


def a_dead_link(path):
    path.symlink_to("nowhere")


def a_socket(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def a_pipe(path):
    os.mkfifo(path)


def a_device(path):
    os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))


KINDS = [a_file, a_folder, a_link, a_link_to_a_file, a_dead_link, a_socket, a_pipe]
KINDS.append(
    a_device
)  # these three: what WSL and NFS lay on a share, as a client shows it


def prepare_others(**options):
    AWAY.parent.mkdir(exist_ok=True)
    share = prepare(**options)
    AWAY.mkdir()
    (AWAY / "canary").write_bytes(b"of this host")
    return share


def seen(top):
    """All that is below TOP, by path: kind, and what it holds or where it leads."""
    found = {}
    for path in sorted(top.rglob("*")):
        mode = path.lstat().st_mode & 0o170000
        data = os.readlink(path) if path.is_symlink() else ""
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
        found[str(path.relative_to(top))] = (mode, data)
    return found


def untouched(before, top):
    now = seen(top)
    return {path: now.get(path) for path in before} == before


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_stands_where_an_output_is_to_go_is_its_failure_alone(kind):
    """At every level of a path, before the first push and in place of what was pushed."""
    share = prepare_others()
    share.mkdir()
    levels = {"w1": "w1", "w2": "w2/tables", "w3": "w3/tables/t1.csv"}
    for path in levels.values():
        (share / path).parent.mkdir(parents=True, exist_ok=True)
        kind(share / path)
    theirs = seen(share)
    for workspace in (*levels, "w4", "w5", "w6", "zzz"):
        lay(workspace, {"tables/t1.csv": b"1", "zz.csv": b"2"})
    record, _ = pushes()
    free = kind is a_folder  # for what goes below it
    blocked = {f"{w}/tables/t1.csv" for w in ("w3", *(() if free else ("w1", "w2")))}
    assert {path for path in record.failed if path.endswith("t1.csv")} == blocked
    assert "w1/zz.csv" in {*record.failed} or free
    assert not record.why
    assert untouched(theirs, share)
    for workspace in ("w4", "w5", "w6", "zzz"):
        assert (share / workspace / "zz.csv").read_bytes() == b"2"
        assert (share / workspace / "metadata/manifest.json").exists()
    # The same in place of what has arrived.
    for workspace, path in zip(("w4", "w5", "w6"), levels.values()):
        place = share / path.replace(path[:2], workspace)
        subprocess.run(["rm", "-r", place], check=True)
        kind(place)
    theirs = {**theirs, **{p: v for p, v in seen(share).items() if p[0] != "z"}}
    for workspace in ("w4", "w5", "w6", "zzz"):
        lay(workspace, {"tables/t1.csv": b"new", "zz.csv": b"2"})
    record, _ = pushes()
    assert "w6/tables/t1.csv" in record.failed
    assert (share / "zzz/tables/t1.csv").read_bytes() == b"new"
    assert there(AWAY) == {"canary": b"of this host"}
    assert (share / "w6/tables/t1.csv").lstat().st_mode == theirs["w6/tables/t1.csv"][
        0
    ] | ((share / "w6/tables/t1.csv").lstat().st_mode & 0o7777)


@pytest.mark.parametrize("share_of", [SHARE, REMOVES], ids=["keeps", "removes"])
def test_names_of_ours_that_change_their_kind(share_of):
    """An output is a file first and then a folder, or the other way round."""
    share = prepare_others()
    lay("aaa", {"x": b"file", "y/in.csv": b"in a folder"})
    lay("zzz", {"z": b"1"})
    pushes(share_of)
    for path in ("x", "y/in.csv"):
        (WORKSPACES / "aaa" / path).unlink()
    (WORKSPACES / "aaa/y").rmdir()
    lay("aaa", {"x/in.csv": b"in a folder", "y": b"file"})
    lay("zzz", {"z": b"2"})
    for _ in range(2):
        record, _ = pushes(share_of)
        assert not record.why
        assert (share / "zzz/z").read_bytes() == b"2"
    said = json.loads((share / "aaa/metadata/manifest.json").read_text())
    assert {*said["outputs"]} == {"x/in.csv", "y"}
    if share_of.removes:
        assert (share / "aaa/x/in.csv").read_bytes() == b"in a folder"
        assert (share / "aaa/y").read_bytes() == b"file"
        assert record.failed == {}
    else:
        assert record.failed["aaa/x/in.csv"].endswith("on the share")
        assert (share / "aaa/x").read_bytes() == b"file"
        assert record.failed["aaa/y"] == on_share.THEIRS


def test_a_folder_goes_with_what_was_last_in_it_and_not_with_what_others_have():
    share = prepare_others()
    names = ("a/b/c.csv", "d/e.csv", "d/f.csv", "g/h.csv", "i/j/k.csv", "l/m.csv")
    lay("ws", dict.fromkeys(names, b"ours"))
    pushes(REMOVES)
    (share / "ws/g/theirs").write_bytes(b"theirs")
    (share / "ws/i/theirs").mkdir()
    (share / "ws/l/m.csv").write_bytes(b"theirs")
    lay("ws", {"d/f.csv": b"ours"})
    record, _ = pushes(REMOVES)
    assert record.failed == {"ws/l/m.csv": on_share.CHANGED}
    left = {p for p, (mode, _) in seen(share / "ws").items() if mode == 0o040000}
    assert left == {"d", "g", "i", "i/theirs", "l", "metadata"}


def test_what_is_declared_again_while_a_push_goes_on_is_not_taken_away(monkeypatch):
    share = prepare_others()
    lay("ws", dict.fromkeys("ab", b"1"))
    pushes(REMOVES)
    lay("ws", {"a": b"1"})
    lay("new", {"n": b"1"})
    each = on_share.each

    def with_news(place, act, parcels, emit):
        lay("ws", dict.fromkeys("ab", b"1"))
        on_share.alive()
        time.sleep(0.3)
        each(place, act, parcels, emit)

    monkeypatch.setattr(on_share, "each", with_news)
    monkeypatch.setattr(push, "_TURN_S", 0)
    record, said = pushes(REMOVES)
    assert not [line for line in said if "taken away" in line]
    assert there(share)["ws/b"] == b"1"
    assert record.failed == {}


def test_what_did_not_arrive_is_not_ours():
    """A first push fails for lack of room; they lay their own file there, then there is room."""
    share = prepare_others(size="1M")
    lay("aaa", {"a.csv": b"a" * 2_000_000})
    record, _ = pushes()
    assert "No space" in record.failed["aaa/a.csv"]
    assert "aaa/a.csv" not in record.put
    (share / "aaa").mkdir(exist_ok=True)
    (share / "aaa/a.csv").write_bytes(b"theirs")
    subprocess.run(["mount", "-o", "remount,size=16M", MOUNT], check=True)
    record, _ = pushes()
    assert record.failed == {"aaa/a.csv": on_share.THEIRS}
    assert (share / "aaa/a.csv").read_bytes() == b"theirs"


def test_what_they_changed_is_theirs():
    share = prepare_others()
    lay("ws", {"a": b"one", "b": b"one"})
    pushes()
    (share / "ws/a").write_bytes(b"two")
    lay("ws", {"a": b"six", "b": b"six"})
    record, _ = pushes()
    assert {*record.failed} == {"ws/a"}
    assert (share / "ws/a").read_bytes() == b"two"
    assert (share / "ws/b").read_bytes() == b"six"


def test_a_name_that_is_taken_while_the_bytes_go_stays_theirs(monkeypatch):
    share = prepare_others()
    lay("ws", {"a": b"ours", "b": b"ours"})
    write = on_share._write

    def slow(within, part, parcel):
        write(within, part, parcel)
        if parcel.path == "ws/b":
            path = "/outputs/ws/b"  # the share is all there is for it
            os.close(os.open(path, os.O_CREAT | os.O_EXCL))

    monkeypatch.setattr(on_share, "_write", slow)
    record, _ = pushes()
    assert record.failed == {"ws/b": on_share.THEIRS}
    assert (share / "ws/b").read_bytes() == b""
    assert (share / "ws/a").read_bytes() == b"ours"


def test_one_file_never_holds_up_others():
    """Sparse, without end, locked there, as many as count as an unwell server: all else goes."""
    share = prepare_others(size="64M")
    names = [f"{n}.csv" for n in range(5)]
    lay("aaa", dict.fromkeys(("huge", "grows", *names), b"old"))
    pushes()
    os.truncate(WORKSPACES / "aaa/huge", 1 << 40)
    lay("bbb", {"big": b"b" * (BIG + 1)})
    for name in names:
        (WORKSPACES / "aaa" / name).write_bytes(b"new")
    locked = [share / "aaa" / name for name in names[:4]]
    for path in locked:  # as Windows does, with what a program has open
        subprocess.run(["mount", "--bind", path, path], check=True)
    lay("zzz", {"z": b"1", "big": b"z" * (BIG + 1)})
    with written_all_the_time(WORKSPACES / "aaa/grows"):
        for _ in range(3):
            began = time.monotonic()
            record, _ = pushes()
            assert time.monotonic() - began < 20
    assert (share / "zzz/z").read_bytes() == b"1"
    assert (share / "zzz/big").stat().st_size == BIG + 1
    assert (share / "bbb/big").stat().st_size == BIG + 1
    assert (share / "aaa/4.csv").read_bytes() == b"new"
    assert "larger than" in record.failed["aaa/huge"]
    assert (share / "aaa/huge").read_bytes() == b"old"
    for number in (3, 0, 1, 2):
        subprocess.run(["umount", locked[number]], check=True)
        pushes()
        pushes()
        assert locked[number].read_bytes() == b"new", "behind three that do not work"
    record, _ = pushes()
    assert {*record.failed} == {"aaa/huge"}
    assert {path.read_bytes() for path in locked} == {b"new"}


@contextlib.contextmanager
def written_all_the_time(path, size=1 << 20):
    """Somebody writes it anew in place, whole with one letter and then with another."""
    code = """\
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY)
print(flush=True)
while True:
    for letter in b"12":
        os.pwrite(fd, bytes([letter]) * int(sys.argv[2]), 0)
"""
    argv = [sys.executable, "-c", code, path, str(size)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as writer:
        writer.stdout.read(1)
        try:
            yield
        finally:
            writer.kill()


def test_a_file_that_changes_while_it_goes_is_whole_or_as_it_was():
    share = prepare_others()
    size = 12 << 20
    lay("ws", {"a": b"0" * size})
    pushes()
    with written_all_the_time(WORKSPACES / "ws/a", size):
        for _ in range(3):
            pushes()
            assert len(set((share / "ws/a").read_bytes())) == 1, "a mixture"
    (WORKSPACES / "ws/a").write_bytes(b"3" * size)
    pushes()
    assert set((share / "ws/a").read_bytes()) == {ord("3")}


def test_small_ones_do_not_wait_for_a_big_one(monkeypatch):
    """One that comes while the big one is on its way arrives before it."""
    share = prepare_others()
    lay("big", {"a": b"1" * (BIG + 1)})
    each, write = on_share.each, on_share._write

    def with_news(place, act, parcels, emit):
        if any(parcel.size > BIG for parcel in parcels):
            lay("new", {"a": b"small"})
        each(place, act, parcels, emit)

    def waits(within, part, parcel):
        while parcel.size > BIG and not os.path.exists("/outputs/new/a"):
            on_share.alive()
            time.sleep(0.02)
        write(within, part, parcel)

    monkeypatch.setattr(on_share, "each", with_news)
    monkeypatch.setattr(on_share, "_write", waits)
    monkeypatch.setattr(push, "_TURN_S", 0.2)
    record, said = pushes()
    assert said.index("pushed: 'new/a'") < said.index("pushed: 'big/a'")
    assert (record.waiting, record.failed) == ({}, {})
    assert (share / "big/a").stat().st_size == BIG + 1


def test_small_ones_do_not_wait_while_a_big_one_is_hashed(monkeypatch):
    """One that comes meanwhile arrives, though big ones are declared no longer by then."""
    share = prepare_others()
    lay("big", dict.fromkeys(("a", "c", "d"), b"1" * (BIG + 1)))
    digest, here, sizes = opened.digest, os.getpid(), []

    def slow(fd, size, alive=lambda: None):
        first = not [size for size in sizes if size > BIG]
        sizes.append(size)
        if size > BIG and first and os.getpid() == here:
            lay("new", {"a": b"small"})
            lay("big", {"b": b"2"})
            (WORKSPACES / "big/d").unlink()
            time.sleep(0.2)
            alive()
            assert (share / "new/a").read_bytes() == b"small"
        return digest(fd, size, alive)

    monkeypatch.setattr(opened, "digest", slow)
    monkeypatch.setattr(push, "_TURN_S", 0.1)
    record, _ = pushes()
    assert sizes.count(BIG + 1) == 1
    assert (record.waiting, record.failed) == ({}, {})
    assert (share / "big/b").read_bytes() == b"2"


def test_a_server_that_is_silent_at_one_path_holds_up_nothing_for_long(monkeypatch):
    share = prepare_others()
    lay("aaa", {"a": b"1", "b": b"2"})
    lay("zzz", {"z": b"1"})
    write = on_share._write

    def silent(within, part, parcel):
        if parcel.path.startswith("aaa/") and parcel.path[-1] in "ab":
            time.sleep(60)
        write(within, part, parcel)

    monkeypatch.setattr(on_share, "_write", silent)
    monkeypatch.setattr(push, "_SILENCE_S", 0.3)
    for _ in range(3):
        record, _ = pushes()
        assert record.why == "no answer in 0.3 s"
    assert (share / "zzz/z").read_bytes() == b"1"
    assert {*record.waiting} == {"aaa/a", "aaa/b"}
    monkeypatch.undo()
    assert pushes()[0].waiting == {}


@pytest.mark.parametrize("count", [1, 4])
def test_workspaces_that_cannot_be_written_to_hold_up_no_other(count):
    """Before all others, with more outputs than there are pushes."""
    share = prepare_others()
    names = [f"aaa{n}" for n in range(count)]
    for name in names:
        (share / name).mkdir(parents=True)
        (share / name).chmod(0o555)
        lay(name, {f"{n}.csv": b"x" for n in range(60)})
    lay("zzz", {"z.csv": b"1", "big": b"z" * (BIG + 1)})
    for _ in range(2 if count < 3 else 3):
        record, _ = pushes()
    assert (share / "zzz/z.csv").read_bytes() == b"1"
    assert (share / "zzz/big").exists()
    assert "Permission denied" in record.why
    lay("new", {"n": b"1"})
    pushes()
    assert (share / "new/n").exists()
    for name in names:
        (share / name).chmod(0o755)
    for _ in range(2):
        record, _ = pushes()
    assert (record.waiting, record.failed, record.why) == ({}, {}, "")


def unreadable(names):
    """A share on which each look at these fails, as where a client cannot tell what it is shown.

    Of a file whose data overlayfs is told to look for elsewhere, where none is, stat(2) says EIO.
    """
    layers = AWAY.parent / "layers"
    for each in ("lower", "work", "upper/outputs"):
        (layers / each).mkdir(parents=True)
    for name in names:
        path = layers / "upper/outputs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"theirs")
        os.setxattr(path, "trusted.overlay.metacopy", b"")
    of = ",".join(f"{kind}dir={layers}/{kind}" for kind in ("lower", "upper", "work"))
    options = f"metacopy=on,redirect_dir=on,{of}"
    argv = ["mount", "-t", "overlay", "-o", options, "overlay", MOUNT]
    subprocess.run(argv, check=True)
    with pytest.raises(OSError, match="Input/output error"):
        (MOUNT / "outputs" / names[0]).lstat()


def test_a_name_that_cannot_be_looked_at_is_its_own_failure():
    """As a reparse point of WSL's or NFS's: a file, or a folder on the way, and many of them."""
    share, place = prepare_others(), PLACE._replace(kinds=("overlay",))
    files = [f"a{n}.csv" for n in range(5)]
    bad = [*(f"w1/{each}" for each in files), "w2/tables", "w3"]
    unreadable(bad)
    all_of = dict.fromkeys(files, b"1")
    for workspace in ("w1", "w2", "w3", "zzz"):
        more = {"tables/t1.csv": b"1", "zz.csv": b"2"}
        lay(workspace, {**more, **(all_of if workspace == "w1" else {})})
    for _ in range(3):
        record, _ = pushes(place=place)
    assert (share / "zzz/tables/t1.csv").read_bytes() == b"1"
    assert (share / "w1/tables/t1.csv").read_bytes() == b"1"
    for workspace in ("w1", "w2", "zzz"):
        assert (share / workspace / "zz.csv").read_bytes() == b"2"
    failed = {path for path in record.failed if not path.endswith("zz.csv")}
    assert {f"w1/{each}" for each in files} | {"w2/tables/t1.csv"} <= failed
    assert record.failed["w1/a0.csv"] == "Input/output error"
    lay("w4", {"zz.csv": b"later"})
    record, _ = pushes(place=place)
    assert (share / "w4/zz.csv").read_bytes() == b"later"


def test_what_is_changed_here_while_it_goes_is_no_word_of_the_share(monkeypatch):
    """In three workspaces, many of each: as if a job wrote to them all the time."""
    share = prepare_others()
    for name in ("aaa", "bbb", "ccc"):
        lay(name, {f"{n}.csv": b"x" for n in range(60)})
    lay("zzz", {"z.csv": b"1"})
    write = on_share._write

    def spoilt(within, part, parcel):
        write(within, part, parcel)
        if parcel.path.endswith(".csv") and not parcel.path.startswith("zzz"):
            fd = os.open(part, os.O_WRONLY, dir_fd=within.incoming)
            os.pwrite(fd, b"0", 0)
            os.close(fd)

    monkeypatch.setattr(on_share, "_write", spoilt)
    record, _ = pushes()
    assert (share / "zzz/z.csv").read_bytes() == b"1"
    assert {*record.failed.values()} == {on_share.SPOILT}
    assert not record.why
    assert not (share / "aaa/0.csv").exists()


NASTY = {
    "nul": '{"outputs": {"a\\u0000b": {"level": "moderately_sensitive"}}}',
    "deep": "[" * 100_000,
    "number": '{"outputs": {}, "n": %s}' % ("9" * 2_000_000),
    "large": " " * (17 << 20),
    "parts": json.dumps(
        {"outputs": {"a/" * 9000 + "a": {"level": "moderately_sensitive"}}}
    ),
    "surrogate": '{"outputs": {"\\ud800": {"level": "moderately_sensitive"}}}',
    "up": '{"outputs": {"../x": {"level": "moderately_sensitive"}}}',
    "type": '{"outputs": {"a": {"level": ["moderately_sensitive"], "action": {}}}}',
}


def test_what_lies_among_what_is_half_there_is_in_nobodys_way(monkeypatch):
    """Under the name that a part of ours once had, or would have; and however much it is."""
    share = prepare_others()
    lay("ws", {"a": b"1"})
    pushes()
    for path in ("ws/a", "ws/metadata/manifest.json"):
        (half(share) / f"{hashlib.sha256(path.encode()).hexdigest()}.part").mkdir()
    for number in range(300):
        (half(share) / f"{number}").touch()
    lay("ws", {"a": b"new"})
    listed, scanned = os.listdir, os.scandir

    def slowly(entries):
        for each in entries:
            time.sleep(0.003)
            yield each

    monkeypatch.setattr(os, "listdir", lambda at: [*slowly(listed(at))])
    monkeypatch.setattr(os, "scandir", lambda at: slowly(scanned(at)))
    monkeypatch.setattr(push, "_SILENCE_S", 0.5)
    record, _ = pushes()
    assert (record.waiting, record.failed, record.why) == ({}, {}, "")
    assert (share / "ws/a").read_bytes() == b"new"


def test_a_list_without_an_end_of_what_is_half_there_is_in_nobodys_way(monkeypatch):
    """A server makes one, and so do others on the share, with a million files."""
    share = prepare_others()
    lay("ws", {"a": b"1"})
    pushes()
    (half(share) / "theirs").touch()
    lay("ws", {"a": b"new"})
    scanned = os.scandir
    monkeypatch.setattr(os, "scandir", lambda at: itertools.cycle(scanned(at)))
    monkeypatch.setattr(patience, "_LONGEST_S", 5)
    record, _ = pushes()
    assert (record.waiting, record.failed, record.why) == ({}, {}, "")
    assert (share / "ws/a").read_bytes() == b"new"


@pytest.mark.parametrize(
    "kind", [*KINDS, "shut"], ids=lambda kind: getattr(kind, "__name__", kind)
)
def test_what_has_the_name_of_what_is_half_there_is_in_nobodys_way(kind):
    """A file, a link, a folder that nobody may write to: and what is in it is theirs."""
    share = prepare_others()
    part = share / INCOMING / f"{'a' * 64}.part"
    share.mkdir()
    if kind == "shut":
        (share / INCOMING).mkdir()
        part.write_bytes(b"theirs")
        (share / INCOMING).chmod(0o555)
    else:
        kind(share / INCOMING)
    if kind is a_folder:
        part.write_bytes(b"theirs")
    theirs = seen(share)
    for data in (b"1", b"2"):
        lay("ws", {"a": data})
        record, _ = pushes()
        assert (record.waiting, record.failed, record.why) == ({}, {}, "")
        assert (share / "ws/a").read_bytes() == data
        assert untouched(theirs, share)
    # Nor is what became of the one by chance.
    before = half(share)
    before.chmod(0o555)
    lay("ws", {"a": b"3"})
    assert pushes()[0].why == ""
    assert [*share.glob(f"{INCOMING}-*")] == [half(share)]


def test_a_manifest_that_is_none_is_its_workspaces_failure():
    share = prepare_others()
    for name, text in NASTY.items():
        (WORKSPACES / name / "metadata").mkdir(parents=True)
        (WORKSPACES / name / "metadata/manifest.json").write_text(text)
    lay("zzz", {"z": b"1"})
    record, _ = pushes()
    assert (share / "zzz/z").read_bytes() == b"1"
    failed = {path.partition("/")[0] for path in record.failed}
    assert failed == {*NASTY} - {"type"}
    assert not record.why


def test_twins_by_case_are_there_or_told_in_short_and_hold_up_no_other():
    """The first has its place and keeps it, though another comes before it by the alphabet."""
    share = prepare_others()
    lay("Study", {"a": b"1"})
    assert not pushes()[0].failed
    lay("STUDY", {f"out/{number:04}.csv": b"2" for number in range(3000)})
    lay("Study", {"a": b"3", "b": b"4"})
    lay("zzz", {"z": b"5"})
    record, said = pushes()
    assert there(share / "Study")["b"] == b"4"
    assert (share / "zzz/z").read_bytes() == b"5"
    assert not (share / "STUDY").exists()
    assert (
        len([line for line in said if "differs only in case from Study" in line]) == 20
    )
    assert [line for line in said if "more" in line] == [
        "not pushed: 'STUDY' has 2982 more"
    ]
    assert Path(pushed.STATE).stat().st_size < 10_000
    assert (len(record.failed), record.failed["STUDY"]) == (21, "has 2982 more")
    assert pushes() == (pushed.read(Host()), [])


def test_a_twin_of_what_arrived_as_the_push_was_killed_does_not_take_its_place(
    monkeypatch,
):
    share = prepare_others()
    lay("ws", {"b": b"1"})
    killed_push(monkeypatch, 1, SHARE)
    assert (share / "ws/b").exists()
    lay("ws", {"b": b"1", "B": b"2"})
    record, _ = pushes()
    assert {*record.failed} == {"ws/B"}
    assert there(share)["ws/b"] == b"1"


def test_what_is_gone_there_with_its_workspace_is_told_in_short(monkeypatch):
    share = prepare_others()
    lay("ws", {f"{number:04}.csv": b"1" for number in range(500)})
    lay("zzz", {"z": b"1"})
    assert not pushes()[0].failed
    shutil.rmtree(share / "ws")
    monkeypatch.setattr(push, "_DAY_S", -1)
    record, said = pushes()
    assert len(said) == 21
    assert record.failed["ws"] == "has 482 more"
    assert Path(pushed.STATE).stat().st_size < 10_000
    assert pushes()[1] == []
    (WORKSPACES / "ws/0400.csv").touch()
    assert pushes()[0].failed["ws"] == "has 481 more"
    assert there(share)["ws/0400.csv"] == b"1"


def test_what_takes_too_much_memory_ends_that_push_and_is_told():
    """As by LimitAS= of the unit."""
    share = prepare_others()
    lay("aaa", {"a": b"1"})
    names = [f"{number:x}" for number in range(20_000)]
    text = json.dumps(
        {"outputs": {n: {"level": "moderately_sensitive"} for n in names}}
    )
    for number in range(20):
        lay(f"w{number}", {})
        (WORKSPACES / f"w{number}/metadata/manifest.json").write_text(text)
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    has = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (has + (30 << 20), hard))
    record, _ = pushes()
    assert "is too much for this host" in record.why
    assert not share.exists()
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    assert not pushes()[0].why
    assert there(share)["aaa/a"] == b"1"


def declares(workspace, paths):
    outputs = {path: {"level": "moderately_sensitive"} for path in paths}
    manifest = WORKSPACES / workspace / "metadata/manifest.json"
    manifest.write_text(json.dumps({"outputs": outputs}))


def test_a_workspace_with_a_million_names_is_told_and_stops_no_other(monkeypatch):
    """12,000 paths, each through folders of its own: more than fits into memory here."""
    share = prepare_others()
    lay("aaa", {"a": b"1"})
    assert not pushes(REMOVES)[0].failed
    declares("aaa", [f"{number:x}" + "/a" * 110 for number in range(12_000)])
    lay("zzz", {"z": b"1"})
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    has = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
    resource.setrlimit(resource.RLIMIT_AS, (has + (100 << 20), hard))
    record, said = pushes(REMOVES)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert (record.why, there(share).get("zzz/z")) == ("", b"1")
    assert {*record.failed} == {"aaa/metadata/manifest.json"}
    (sentence,) = pushed.degraded(record, SHARE)
    assert "'aaa/metadata/manifest.json', which declares more than" in sentence
    assert there(share)["aaa/a"] == b"1", "declared no longer, or not understood"
    # Of what is too much together the smallest go, however many are on the share.
    monkeypatch.setattr(outgoing, "MOST", 30)
    lay("aaa", dict.fromkeys("abcdefgh", b"2"))
    lay("mmm", {"m": b"1"})
    record, _ = pushes(REMOVES)
    assert {*record.failed} == {"aaa/metadata/manifest.json"}
    assert {path[0] for path in record.put} == {"a", "m", "z"}
    assert there(share)["aaa/a"] == b"1"
    monkeypatch.undo()
    assert not pushes(REMOVES)[0].failed
    assert there(share)["aaa/a"] == b"2"


def test_what_was_put_there_long_ago_takes_no_more_memory_than_it_may(monkeypatch):
    """It is on the share still; what is declared is never forgotten."""
    share = prepare_others()
    names = [f"{number}.csv" for number in range(9)]
    lay("ws", dict.fromkeys(names, b"1"))
    pushes()
    monkeypatch.setattr(pushed, "KEPT", 4)
    declares("ws", names[7:])
    record, _ = pushes()
    forgotten = {f"ws/{name}" for name in names} - record.put.keys()
    assert len(forgotten) == 4  # of seven and a log
    assert {f"ws/{name}" for name in names[7:]} <= record.put.keys()
    assert len([path for path in there(share) if path.endswith(".csv")]) == 9
    lay("ws", dict.fromkeys(names, b"1"))
    record, _ = pushes()
    assert (record.failed, len(record.put)) == ({}, 11)


def test_what_is_forgotten_while_it_is_looked_at_is_no_trouble(monkeypatch):
    share = prepare_others()
    lay("ws", dict.fromkeys("abcd", b"1"))
    pushes()
    each = on_share.each

    def with_news(place, act, parcels, emit):
        declares("ws", [])
        on_share.alive()
        time.sleep(0.3)
        each(place, act, parcels, emit)

    monkeypatch.setattr(on_share, "each", with_news)
    monkeypatch.setattr(pushed, "KEPT", 1)
    monkeypatch.setattr(push, "_DAY_S", -1)
    monkeypatch.setattr(push, "_TURN_S", 0)
    record, _ = pushes()
    assert (len(record.put), record.failed, record.why) == (2, {}, "")
    assert there(share)["ws/a"] == b"1"


def test_many_small_ones_of_one_workspace_hold_up_no_other(monkeypatch):
    """Those that are there, and those that come meanwhile."""
    prepare_others()
    lay("aaa", {f"{number}.csv": b"1" for number in range(1500)})
    lay("mmm", {"m": b"1"})
    each, at = on_share.each, []

    def with_news(place, act, parcels, emit):
        each(place, act, parcels, emit)
        time.sleep(0.3)

    def news(line):
        at.append(line)
        if len(at) == 500:
            lay("zzz", {"z": b"1"})

    monkeypatch.setattr(on_share, "each", with_news)
    monkeypatch.setattr(push, "_TURN_S", 0.2)
    push.push(Host(), SHARE, news, PLACE)
    where = [at.index(f"pushed: '{path}'") for path in ("mmm/m", "zzz/z")]
    assert (where[0] < 450, where[1] < 1000) == (True, True), where
    assert len(at) == 1500 + 2 + 6


def test_a_path_of_millions_of_folders_takes_no_time_and_is_said_in_short():
    share = prepare_others()
    lay("aaa", {"a": b"1"})
    paths = ("a/" * 3_000_000 + "a", "/" * 3_000_000, "b" * 3_000_000)
    outputs = {path: {"level": "moderately_sensitive"} for path in paths}
    text = json.dumps({"outputs": outputs})
    (WORKSPACES / "aaa/metadata/manifest.json").write_text(text)
    lay("zzz", {"z": b"1"})
    began = time.monotonic()
    record, said = pushes()
    assert time.monotonic() - began < 4
    assert len(record.failed) == 3
    assert max(map(len, (*record.failed, *said))) < 400
    assert Path(pushed.STATE).stat().st_size < 4000
    assert (share / "zzz/z").read_bytes() == b"1"


def test_outputs_are_late_from_the_first_day():
    """Where no push ever ended, not even with an error."""
    prepare_others()
    timer = Path("/etc/systemd/system", pushed.TIMER)
    timer.parent.mkdir(parents=True, exist_ok=True)
    timer.write_text("")
    record = pushed.read(Host())
    assert not [*pushed.degraded(record, SHARE)]
    os.utime(timer, (0, 0))
    (sentence,) = pushed.degraded(pushed.read(Host()), SHARE)
    assert "no push to //windows.example/level4 succeeded since 1970-01-01" in sentence


def test_what_is_gone_or_altered_there_is_told_once_a_day(monkeypatch):
    share = prepare_others()
    names = ("gone", "altered", "grown", "touched", "link", "fine")
    lay("ws", dict.fromkeys(names, b"ours"))
    pushes()
    kept = (share / "ws/altered").stat()
    (share / "ws/gone").unlink()
    (share / "ws/altered").write_bytes(b"his!")
    (share / "ws/grown").write_bytes(b"more than that")
    os.utime(share / "ws/touched", (1, 1))
    (share / "ws/link").unlink()
    (share / "ws/link").symlink_to(AWAY / "canary")
    assert pushes()[0].failed == {}, "it was looked at within this day"
    monkeypatch.setattr(push, "_DAY_S", -1)
    record, said = pushes()
    wanted = dict.fromkeys(("ws/altered", "ws/grown", "ws/link"), on_share.CHANGED)
    assert record.failed == {"ws/gone": on_share.GONE, **wanted}
    assert len(said) == 4
    (sentence,) = pushed.degraded(record, SHARE)
    assert sentence.startswith("outputs could not be put on")
    monkeypatch.setattr(push, "_DAY_S", 3600)
    record, said = pushes()
    assert (len(record.failed), said) == (4, [])
    os.utime(WORKSPACES / "ws/gone")
    (share / "ws/altered").unlink()
    os.utime(WORKSPACES / "ws/altered")
    record, said = pushes()
    assert {*record.failed} == {"ws/grown", "ws/link"}
    assert (share / "ws/gone").read_bytes() == (share / "ws/altered").read_bytes()
    assert kept.st_size == 4


def test_what_keeps_size_and_time_is_found_out_when_its_turn_to_be_read_comes(
    monkeypatch,
):
    """So many bytes a day, and each day the next."""
    share = prepare_others()
    names = ("a", "b", "c", "d", "e")
    lay("ws", dict.fromkeys(names, b"ours"))
    pushes()
    for name in "ad":
        found = (share / "ws" / name).stat()
        (share / "ws" / name).write_bytes(b"his!")
        os.utime(share / "ws" / name, ns=(found.st_atime_ns, found.st_mtime_ns))
    monkeypatch.setattr(push, "_DAY_S", -1)
    monkeypatch.setattr(push, "_READ", 8)  # two of them
    found = [{*pushes()[0].failed} for _ in range(5)]
    assert found[0] == {"ws/a"}
    assert found[1] == {"ws/a", "ws/d"}
    assert found[4] == {"ws/a", "ws/d"}, "and is told for as long as it is so"
    (share / "ws/a").write_bytes(b"ours")
    lay("ws", dict.fromkeys(names, b"more"))
    (share / "ws/d").unlink()
    assert [{*pushes()[0].failed} for _ in range(5)][-1] == set()


def test_the_manifest_that_goes_has_only_what_may_go():
    share = prepare_others()
    secret = {"out/patients.csv": b"patients", "out/other.csv": b"x"}
    levels = {"out/patients.csv": "highly_sensitive", "out/other.csv": ""}
    lay("ws", {"a.csv": b"1", **secret}, levels)
    pushes()
    text = (share / "ws/metadata/manifest.json").read_text()
    assert {*json.loads(text)["outputs"]} == {"a.csv"}
    assert "patients" not in text
    # One that went whole before this was so goes anew.
    whole = (WORKSPACES / "ws/metadata/manifest.json").read_bytes()
    (share / "ws/metadata/manifest.json").write_bytes(whole)
    files = Path(pushed.FILES)
    found = json.loads(files.read_text())
    put = found["put"]["ws/metadata/manifest.json"]
    put[1:3] = [hashlib.sha256(whole).hexdigest(), len(whole)]
    files.write_text(json.dumps({"format": 1, "put": found["put"]}))
    pushes()
    assert (share / "ws/metadata/manifest.json").read_text() == text


# ---- a server that shows links


KNOWN = f"{INCOMING}-{'30' * 8}"
EXCHANGE = """\
import ctypes, os, sys
libc = ctypes.CDLL(None)
link, names = os.fsencode(sys.argv[1]), [os.fsencode(name) for name in sys.argv[2:]]
print(flush=True)
while True:
    for name in names:
        for _ in range(2):
            libc.renameat2(-100, name, -100, link, 2)
"""


@pytest.mark.parametrize("exchanged", [("ws",), ("ws/in",), (KNOWN,), ("", "ws")])
def test_a_server_that_exchanges_folders_for_links_gets_nothing_of_this_host(
    monkeypatch, exchanged
):
    """All the while outputs are put there, replaced, taken away and looked for."""
    share = prepare_others()
    chance = os.urandom  # as if the server knew what is to come
    monkeypatch.setattr(os, "urandom", lambda n: b"0" * 8 if n == 8 else chance(n))
    lay("ws", {"in/a": b"0"})
    pushes(REMOVES)
    for folder in ("ws/in", "in", "outputs", KNOWN):
        (AWAY / folder).mkdir(parents=True, exist_ok=True)
    for path in ("a", "ws/in/a", "in/a", f"{KNOWN}/theirs", f"{'0' * 64}.part"):
        (AWAY / path).write_bytes(b"0")  # as what was put on the share
    before = seen(AWAY)
    link, deep = MOUNT / "link", "../" * 9
    names = [share / name for name in exchanged]
    ends, passes = time.monotonic() + 1.5, 0
    while time.monotonic() < ends or passes < 4:
        passes += 1
        link.symlink_to(f"{deep}{AWAY}" if passes % 3 else AWAY)
        if passes % 2:
            lay("ws", {"in/a": b"0", f"in/{passes}": b"new"})
        else:
            (WORKSPACES / "ws/in/a").unlink()
            lay("ws", {"in/b": b"%d" % passes})
        argv = [sys.executable, "-I", "-S", "-c", EXCHANGE, link, *names]
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as server:
            server.stdout.read(1)
            pushes(REMOVES)
            server.kill()
        for name in names:  # one of them may be the link by now
            if name.is_symlink():
                os.replace(name, f"{link}.old")
                link.rename(name)
                break
        subprocess.run(f"rm -rf {link} {link}.old", shell=True, check=True)
        assert seen(AWAY) == before


def test_for_what_works_on_the_share_nothing_else_is_there(monkeypatch):
    """By the hand of who works there: what it can open, run, and become."""
    share = prepare_others()
    lay("ws", {"a": b"1"})
    Path("/etc/of-this-host").write_text("x")
    (MOUNT / "json5.py").write_text("raise SystemExit(7)")

    def tries(within, part, parcel):
        found = []
        for path in ("/etc/of-this-host", f"{WORKSPACES}/ws/a", "/proc/self/status"):
            found.append(os.path.exists(path))
        sys.path.insert(0, "/")
        for module in ("json5", "wave"):
            with contextlib.suppress(ImportError, ImportWarning):
                __import__(module)
                found.append(module)
        for attempt in (lambda: os.chroot("ws"), lambda: os.setuid(1)):
            with contextlib.suppress(OSError):
                attempt()
                found.append("has a right")
        assert os.path.exists("/outputs"), "the share is there"
        raise OSError(1, repr(found))

    monkeypatch.setattr(on_share, "_write", tries)
    record, _ = pushes()
    assert record.failed["ws/a"] == "[False, False, False]"
    monkeypatch.undo()
    pushes()
    assert (share / "ws/a").read_bytes() == b"1"


UNIT = "etc/systemd/system/opensafely-outputs.service"
CAPABILITIES = {
    **{"CAP_DAC_OVERRIDE": 1, "CAP_DAC_READ_SEARCH": 2, "CAP_FOWNER": 3},
    **{"CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7, "CAP_SYS_CHROOT": 18},
}


def keep_only(names):
    """As a unit's CapabilityBoundingSet has it."""
    bits = sum(1 << CAPABILITIES[name] for name in names)
    header, libc = struct.pack("II", 0x20080522, 0), ctypes.CDLL(None)
    assert libc.capset(header, struct.pack("6I", bits, bits, 0, 0, 0, 0)) == 0


@pytest.mark.parametrize("owner", [0, 10000])
def test_what_the_unit_may_do_is_enough_and_the_mounts_owner_is_who_writes(
    monkeypatch, owner
):
    share = prepare_others(uid=owner, gid=owner, mode="700")
    lay("ws", {"a": b"1", "b": b"2"})
    unit = (Path(__file__).parents[3] / UNIT).read_text()
    (names,) = re.findall("^CapabilityBoundingSet=(.*)$", unit, re.M)
    assert {*names.split()} == {*CAPABILITIES}
    keep_only(names.split())
    record, _ = pushes()
    assert (record.waiting, record.failed, record.why) == ({}, {}, "")
    found = {path.stat().st_uid for path in share.rglob("*")}
    assert found == {owner}
    monkeypatch.setattr(push, "_SILENCE_S", 0.2)
    monkeypatch.setattr(on_share, "_write", lambda *_: time.sleep(60))
    lay("ws", {"a": b"new", "b": b"2"})
    assert pushes()[0].why == "no answer in 0.2 s"
    assert not running(), "whoever it became, it can be ended"
    keep_only({*CAPABILITIES} - {"CAP_SYS_CHROOT"})
    assert "not permitted" in pushes()[0].why


def running():
    """Processes of this test besides its own."""
    numbers = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return [n for n in numbers if n != os.getpid()]


# ---- a model of a share with a second writer


PATHS = ("a", "a/b", "b", "B")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ours"), st.sampled_from("vw"), st.sampled_from(PATHS)),
        st.tuples(st.just("not ours"), st.sampled_from("vw"), st.sampled_from(PATHS)),
        st.tuples(
            st.sampled_from([kind.__name__ for kind in KINDS]),
            st.sampled_from("vw"),
            st.sampled_from(("", *PATHS)),
        ),
        st.tuples(
            st.just("gone"), st.sampled_from("vw"), st.sampled_from(("", *PATHS))
        ),
        st.tuples(st.just("edited"), st.sampled_from("vw"), st.sampled_from(PATHS)),
        st.tuples(st.sampled_from(("push", "killed")), st.just(""), st.just("")),
    ),
    min_size=3,
    max_size=14,
)
EXAMPLES = 25


class Model:
    """What each side did, and so what may be where."""

    def __init__(self, share, removes):
        self.share, self.removes = share, removes
        self.declared = {"v": {}, "w": {}}
        self.was = {}  # every content that a path of ours had
        self.theirs = {}  # by path on the share, as they left it
        self.count = 0

    def ours(self, workspace, path):
        files = self.declared[workspace]
        # One is the other's folder.
        for other in [p for p in files if f"{path}/" in p or f"{p}/" in path]:
            self.not_ours(workspace, other)
        self.count += 1
        data = b"ours %d" % self.count
        files[path] = data
        self.was.setdefault(f"{workspace}/{path}", set()).add(data)
        lay(workspace, files)

    def not_ours(self, workspace, path):
        if self.declared[workspace].pop(path, None):
            (WORKSPACES / workspace / path).unlink()
            with contextlib.suppress(OSError):
                (WORKSPACES / workspace / path).parent.rmdir()
        lay(workspace, self.declared[workspace])

    def elsewhere(self, place):
        """They write on the share, and not through links of theirs that lead out of it."""
        return any(way.is_symlink() for way in place.parents)

    def put(self, kind, workspace, path):
        place = self.share / workspace / path
        if self.elsewhere(place):
            return
        self.gone(workspace, path)
        with contextlib.suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            kind(place)
            self.note(place)

    def note(self, place):
        top = place.relative_to(self.share)
        for path, found in seen(self.share).items():
            if Path(path) == top or top in Path(path).parents:
                self.theirs[path] = found

    def gone(self, workspace, path):
        place = self.share / workspace / path
        if self.elsewhere(place):
            return
        subprocess.run(["rm", "-rf", place], check=True)
        top = str(place.relative_to(self.share))
        for path in [p for p in self.theirs if p == top or p.startswith(f"{top}/")]:
            del self.theirs[path]

    def edited(self, workspace, path):
        place = self.share / workspace / path
        ours = not place.is_symlink() and not self.elsewhere(place)
        if ours and place.is_file():
            self.count += 1
            place.write_bytes(b"edit %d" % self.count)
            self.note(place)

    def holds(self):
        now = seen(self.share)
        assert {path: now.get(path) for path in self.theirs} == self.theirs
        assert there(AWAY) == {"canary": b"of this host"}
        for path, (mode, data) in now.items():
            ours = mode == 0o100000 and path not in self.theirs
            if ours and not path.startswith(INCOMING):
                if "metadata" in path:
                    assert data == b"log" or json.loads(data)
                else:
                    assert data in self.was.get(path, ()), path

    def all_has_gone(self, record):
        now = seen(self.share)
        assert not [path for path in now if path.endswith(".part")]
        for workspace, files in self.declared.items():
            for path, data in files.items():
                full = f"{workspace}/{path}"
                if now.get(full, (0, b""))[1] == data:
                    assert full not in record.failed
                else:
                    assert full in record.failed, (full, now, record)
                    assert self.blocked(full, now) or full in record.missed

    def blocked(self, full, now):
        """Something is there, or is no folder on the way; or Windows could not tell two apart."""
        workspace, _, path = full.partition("/")
        twins = [p for p in self.declared[workspace] if p.lower() == path.lower()]
        ways = [str(way) for way in Path(full).parents if str(way) != "."]
        return (
            full in now
            or len(twins) > 1
            or any(now.get(way, (0o040000,))[0] != 0o040000 for way in ways)
        )


def killed_push(monkeypatch, count, share_of):
    """One that ends, wherever it is by then."""
    name, left = on_share._name, [count % 3]

    def kills(*args):
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        name(*args)
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(on_share, "_name", kills)
        pushes(share_of)


def test_whatever_both_sides_do(monkeypatch):
    kinds = {kind.__name__: kind for kind in KINDS}
    share = prepare_others()
    monkeypatch.setattr(push, "_DAY_S", -1)
    tried = []

    @settings(
        max_examples=EXAMPLES if settings.default.max_examples < 2000 else 1000,
        suppress_health_check=[*HealthCheck],
        database=None,
    )
    @given(STEPS, st.booleans())
    def both_sides(steps, removes):
        tried.append(steps)
        share_of = REMOVES if removes else SHARE
        subprocess.run(f"rm -rf {WORKSPACES}/* {MOUNT}/*", shell=True, check=True)
        for state in (pushed.STATE, pushed.FILES):
            Path(state).unlink(missing_ok=True)
        share.mkdir()
        model = Model(share, removes)
        for what, workspace, path in steps:
            if what == "push":
                pushes(share_of)
            elif what == "killed":
                killed_push(monkeypatch, model.count, share_of)
            elif what in kinds:
                model.put(kinds[what], workspace, path)
            else:
                getattr(model, what.replace(" ", "_"))(workspace, path)
            model.holds()
        for _ in range(3):
            record, _ = pushes(share_of)
            model.holds()
        model.all_has_gone(record)

    both_sides()
    assert len(tried) >= EXAMPLES
