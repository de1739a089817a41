"""Outputs go to a share: to file systems that do what a server may do.

A server over the wire is in tests/hosts/outputs/test_outputs.py. Here each case takes a moment.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from backend_server.checkout.backend import Share
from backend_server.host.writer import Host
from backend_server.outputs import credentials, patience, pushed
from backend_server.outputs import share as on_share
from backend_server.outputs.within import INCOMING
from backend_server.text.errors import OutsideWorld
from tests.contract.outputs.pushing import (
    MOUNT,
    PLACE,
    WORKSPACES,
    half,
    lay,
    prepare,
    pushes,
    there,
)


pytestmark = pytest.mark.share("SMB")

META = {"ws/metadata/describe.log": b"log"}


def without_manifest(top):
    found = there(top)
    assert found.pop("ws/metadata/manifest.json")
    return found


def test_what_is_declared_is_there_byte_for_byte_and_nothing_else():
    share = prepare()
    hostile = {
        "a:b?.csv": b"1",
        "CON/nul.txt": b"2",
        "-rf": b"3",
        "a b\n": b"",
        "é": b"5",
    }
    secret = {"out/patients.csv": b"patients"}
    lay("ws", {**hostile, **secret}, {"out/patients.csv": "highly_sensitive"})
    (WORKSPACES / "ws/out/undeclared.csv").write_bytes(b"x")
    (WORKSPACES / "ws/a.csv.0123456789abcdef.tmp").write_bytes(b"x")
    (WORKSPACES / "cache").mkdir()
    record, said = pushes()
    wanted = {
        "ws/a%3Ab%3F.csv": b"1",
        "ws/%43ON/%6Eul.txt": b"2",
        "ws/-rf": b"3",
        "ws/a b%0A": b"",
        "ws/é": b"5",
        **META,
    }
    assert without_manifest(share) == wanted
    assert (record.waiting, record.failed, record.why) == ({}, {}, "")
    assert record.succeeded
    assert len(said) == 7
    assert not any("patients" in line or "undeclared" in line for line in said)


def test_a_second_push_moves_nothing_and_a_change_moves_once():
    share = prepare()
    lay("ws", {"a": b"one", "b": b"two"})
    pushes()
    inode = (share / "ws/b").stat().st_ino
    assert pushes()[1] == []
    os.utime(WORKSPACES / "ws/b")  # only touched
    (WORKSPACES / "ws/a").write_bytes(b"three")
    assert pushes()[1] == ["pushed: 'ws/a'"]
    assert (share / "ws/a").read_bytes() == b"three"
    assert (share / "ws/b").stat().st_ino == inode
    assert pushes()[1] == []


def test_no_link_leads_out_of_the_tree():
    share = prepare()
    lay("ws", dict.fromkeys(("link", "hard", "pipe", "in/file", "gone"), b"x"))
    top, secret = WORKSPACES / "ws", Path("/srv/high_privacy")
    secret.write_bytes(b"secret")
    for name in ("link", "hard", "pipe", "gone", "in/file"):
        (top / name).unlink()
    (top / "in").rmdir()
    (top / "link").symlink_to(secret)
    os.link(secret, top / "hard")
    os.mkfifo(top / "pipe")
    (top / "in").symlink_to("/etc")
    lay("other", {})
    (WORKSPACES / "linked").symlink_to(WORKSPACES / "other")
    record, _ = pushes()
    assert {*there(share)} == {
        *("ws/metadata/describe.log", "ws/metadata/manifest.json"),
        "other/metadata/manifest.json",  # it declares nothing
    }
    ways = {"ws/link", "ws/hard", "ws/pipe", "ws/in/file"}
    assert {*record.failed} == {*ways, "linked/metadata/manifest.json"}
    assert "hard link" in record.failed["ws/hard"]


def test_a_file_that_is_swapped_for_a_link_is_still_the_one_that_was_opened(
    monkeypatch,
):
    share = prepare()
    lay("ws", {"a": b"ours"})
    each = on_share.each

    def swapped(*args):
        (WORKSPACES / "ws/a").unlink()
        (WORKSPACES / "ws/a").symlink_to("/etc/shadow")
        each(*args)

    monkeypatch.setattr(on_share, "each", swapped)
    pushes()
    assert (share / "ws/a").read_bytes() == b"ours"


def test_an_empty_mount_point_is_not_the_share():
    prepare()
    lay("ws", {"a": b"1"})
    subprocess.run(["umount", MOUNT], check=True)
    record, said = pushes(place=PLACE._replace(kinds=("cifs", "smb3")))
    assert record.why == f"{MOUNT} is tmpfs and not the share: nothing was written"
    assert list(MOUNT.iterdir()) == []
    assert {*record.waiting} == {"ws/a", *META, "ws/metadata/manifest.json"}
    assert record.succeeded is None
    assert said == []


def test_a_mount_point_that_cannot_be_entered_says_why():
    prepare()
    lay("ws", {"a": b"1"})
    subprocess.run(["umount", MOUNT], check=True)
    MOUNT.rmdir()
    why = pushes()[0].why
    assert why == f"{MOUNT} could not be reached: No such file or directory"


def test_without_a_password_nothing_is_tried():
    share = prepare()
    lay("ws", {"a": b"1"})
    Host().write(credentials.FILE, credentials.HEADER, 0o600)
    record, _ = pushes()
    assert "secrets set SHARE_PASSWORD" in record.why
    assert not share.exists()


def test_a_full_share_takes_what_it_can_and_the_rest_when_there_is_room():
    share = prepare(size="1M")
    lay("ws", {"a": b"a" * 100_000, "b": b"b" * 2_000_000, "c": b"c" * 100_000})
    record, _ = pushes()
    assert "No space left on device" in record.failed["ws/b"]
    assert "ws/b" in record.waiting
    found = there(share)
    assert "ws/b" not in found
    assert not [path for path in found if path.startswith(INCOMING)]
    subprocess.run(["mount", "-o", "remount,size=16M", MOUNT], check=True)
    record, _ = pushes()
    assert (record.waiting, record.failed) == ({}, {})
    assert (share / "ws/b").read_bytes() == b"b" * 2_000_000


def test_a_read_only_share_is_the_cause():
    prepare()
    lay("ws", {"a": b"1"})
    subprocess.run(["mount", "-o", "remount,ro", MOUNT], check=True)
    record, _ = pushes()
    assert record.why == "Read-only file system at 'outputs'"
    subprocess.run(["mount", "-o", "remount,rw", MOUNT], check=True)
    assert pushes()[0].why == ""


def test_what_somebody_else_put_there_stays():
    share = prepare()
    lay("ws", {"a": b"ours", "same": b"same"})
    (share / "ws").mkdir(parents=True)
    (share / "ws/a").write_bytes(b"theirs")
    (share / "ws/same").write_bytes(b"same")
    for _ in range(2):
        record, _ = pushes()
        assert record.failed["ws/a"] == on_share.THEIRS
        assert (share / "ws/a").read_bytes() == b"theirs"
    (share / "ws/a").unlink()
    record, _ = pushes()
    assert record.failed == {}
    assert (share / "ws/a").read_bytes() == b"ours"


def test_a_push_that_was_killed_goes_on(monkeypatch):
    """With files half there, whole there and not noted, and not there at all."""
    share = prepare()
    lay("ws", {name: name.encode() * 1000 for name in "abcd"})
    give = on_share._name

    def killed(within, part, folder, name, parcel):
        give(within, part, folder, name, parcel)
        if name == "b":
            os.close(os.open(f"{'c' * 64}.part", os.O_CREAT, dir_fd=within.incoming))
            os.close(os.open("theirs", os.O_CREAT, dir_fd=within.incoming))
            os.kill(os.getpid(), 9)

    monkeypatch.setattr(on_share, "_name", killed)
    record, _ = pushes()
    assert record.why == "the push ended without a word"
    assert {*record.failed} == {"ws/b"}
    monkeypatch.undo()
    assert len(record.waiting) == 5
    before = half(share)
    assert {*there(before)} >= {"theirs", f"{'c' * 64}.part"}
    (WORKSPACES / "ws/b").write_bytes(b"changed meanwhile")
    record, _ = pushes()
    assert (record.waiting, record.failed, record.why) == ({}, {}, "")
    found = without_manifest(share)
    assert found.pop(f"{before.name}/theirs") == b""
    data = {f"ws/{n}": n.encode() * 1000 for n in "acd"}
    assert found == {**data, "ws/b": b"changed meanwhile", **META}


def test_what_arrives_changed_gets_no_name(monkeypatch):
    share = prepare()
    lay("ws", {"a": b"1" * 1000, "b": b"2"})
    pushes()
    (WORKSPACES / "ws/a").write_bytes(b"2" * 1000)
    write = on_share._write

    def spoilt(within, part, parcel):
        write(within, part, parcel)
        fd = os.open(part, os.O_WRONLY, dir_fd=within.incoming)
        os.pwrite(fd, b"0", 500)
        os.close(fd)

    monkeypatch.setattr(on_share, "_write", spoilt)
    record, _ = pushes()
    assert record.failed == {"ws/a": "arrived, and is not what was sent"}
    assert {*record.waiting} == {"ws/a"}
    assert (share / "ws/a").read_bytes() == b"1" * 1000
    monkeypatch.undo()
    assert pushes()[0].failed == {}
    assert (share / "ws/a").read_bytes() == b"2" * 1000


def test_a_record_that_is_lost_is_made_again_from_what_is_there():
    share = prepare()
    lay("ws", {"a": b"1"})
    pushes()
    inode = (share / "ws/a").stat().st_ino
    Host().remove(pushed.FILES)
    record, _ = pushes()
    assert record.failed == {}
    assert "ws/a" in record.put
    assert (share / "ws/a").stat().st_ino == inode


def test_nothing_is_removed_but_what_was_put_there_where_the_backend_asks_for_it():
    share = prepare()
    lay("ws", {"a": b"1", "edited": b"2", "stays": b"3"})
    lay("other", {"x": b"4"})
    pushes()
    (share / "ws/edited").write_bytes(b"by a reviewer")
    (share / "ws/theirs").write_bytes(b"of a reviewer")
    lay("ws", {"stays": b"3"})
    subprocess.run(["rm", "-r", WORKSPACES / "other"], check=True)
    pushes()
    assert (share / "ws/a").exists()
    removes = Share("windows.example", "level4/outputs", "opensafely", removes=True)
    record, said = pushes(removes)
    assert {*there(share)} - {"ws/metadata/manifest.json", *META} == {
        *("ws/edited", "ws/stays", "ws/theirs", "other/x"),
        *("other/metadata/describe.log", "other/metadata/manifest.json"),
    }
    assert "taken away, as it is declared no longer: 'ws/a'" in said
    assert "was changed" in record.failed["ws/edited"]


def test_a_name_that_changes_only_in_case_is_the_same_file_there():
    share = prepare()
    lay("ws", {"Case": b"1", "other": b"2"})
    pushes()
    for name in ("Case", "metadata/manifest.json"):
        (WORKSPACES / "ws" / name).unlink()
    lay("ws", {"case": b"changed", "other": b"2"})
    (share / "ws/Case").rename(share / "ws/case")  # as a Windows server looks at it
    removes = Share("windows.example", "level4/outputs", "opensafely", removes=True)
    record, _ = pushes(removes)
    assert record.failed == {}
    assert (share / "ws/case").read_bytes() == b"changed"


def test_a_folder_that_leads_away_from_the_share_is_not_followed():
    prepare()
    lay("ws", {"a": b"1"})
    Path("/mnt/away").mkdir()
    (MOUNT / "outputs").symlink_to("/mnt/away")
    record, _ = pushes()
    assert record.why == "outputs leads away from the share"
    (MOUNT / "outputs").unlink()
    assert pushes()[0].why == ""
    before = half(MOUNT / "outputs")
    before.rmdir()
    before.symlink_to("/mnt/away")
    Path("/mnt/away", f"{'0' * 64}.part").touch()
    (WORKSPACES / "ws/a").write_bytes(b"2")
    assert pushes()[0].why == ""
    assert (MOUNT / "outputs/ws/a").read_bytes() == b"2"
    Path("/mnt/away", f"{'0' * 64}.part").unlink()
    assert list(Path("/mnt/away").iterdir()) == []


def test_a_link_on_the_share_is_not_written_through():
    share = prepare()
    lay("ws", {"in/a": b"1"})
    Path("/mnt/away").mkdir()
    (share / "ws").mkdir(parents=True)
    (share / "ws/in").symlink_to("/mnt/away")
    pushes()
    assert list(Path("/mnt/away").iterdir()) == []


def heard(work, silence_s):
    """What WORK emitted, and why no more came."""
    results = patience.results(work, silence_s)
    found = []
    try:
        for each in results:
            found += [each] if each else []
    except OutsideWorld as error:
        return found, str(error)
    return found, ""


def test_work_that_is_silent_is_given_up():
    def silent(emit):
        emit("one")
        time.sleep(60)

    began = time.monotonic()
    assert heard(silent, 0.2) == (["one"], "no answer in 0.2 s")
    assert time.monotonic() - began < 5


def test_signs_of_life_are_enough_and_errors_come_back():
    def slow(emit):
        for _ in range(5):
            time.sleep(0.1)
            patience.alive()
        emit({"path": "\udcff"})
        raise OSError(28, "No space left on device")

    assert heard(slow, 0.3) == ([{"path": "\udcff"}], "No space left on device")
