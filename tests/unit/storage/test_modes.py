"""Passes over trees: what gets its access back, what is left alone, and how much is opened."""

import json
import os
import socket
import stat
import sys
import threading
from pathlib import Path

import pytest

from backend_server.engine.lock import only_run
from backend_server.host.looking import acl_at
from backend_server.host.writer import Host
from backend_server.storage import modes, tree
from backend_server.storage.tree import Counts, Rule, Walk
from backend_server.text import acl
from backend_server.text.acl import ACCESS, DEFAULT
from backend_server.text.errors import UserError


UID, GID = os.getuid(), os.getgid()
OTHER_GID = 10010


def entries(text):
    return frozenset(acl.parse(entry, int, int) for entry in text.split())


SHARED = entries("user::rwx group::rwx group:10010:rwx mask::rwx other::---")
EVIDENCE = entries("user::rwx group::r-x group:10010:r-x mask::rwx other::---")
RULE = Rule(UID, GID, SHARED)
EXACT = Rule(UID, GID, EVIDENCE, exact=True)


@pytest.fixture
def top(tmp_path):
    folder = tmp_path / "tree"
    folder.mkdir()
    return folder


def walk(top, rule=RULE, inside=tree._NONE):
    counts = Counts()
    fd = os.open(top.parent, os.O_RDONLY)
    try:
        Walk(os.fstat(fd).st_dev, counts).settle(fd, top.name, rule, inside)
    finally:
        os.close(fd)
    return counts


def access(path):
    return acl_at(str(path), ACCESS, follow=True) or acl.of_mode(path.stat().st_mode)


def reaches(path, gid=OTHER_GID):
    """What members of a group may do with a file, by its list and its mask."""
    found = {(e.kind, e.id): e.permissions for e in access(path)}
    return acl.letters(found.get(("group", gid), 0) & found.get(("mask", None), 7))


def made(path, mode):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    os.close(fd)
    os.chmod(path, mode)
    return path


def test_where_metadata_lies_nobody_but_the_owner_moves_it(top):
    """A folder below is as it was: there reviewers save by a rename."""
    (top / "metadata").mkdir()
    (top / "output").mkdir()
    assert walk(top, inside={"metadata": EXACT}).given == 3
    sticky = [p.stat().st_mode & stat.S_ISVTX for p in (top, *sorted(top.iterdir()))]
    assert sticky == [stat.S_ISVTX, 0, 0]
    assert walk(top, inside={"metadata": EXACT}).given == 0
    walk(top)
    assert top.stat().st_mode & stat.S_ISVTX


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o400, 0o666])
def test_a_file_is_read_and_written_again(top, mode):
    file = made(top / "out.csv", mode)
    counts = walk(top)
    assert reaches(file) == "rw-"
    found = file.stat().st_mode
    assert found & 0o707 == mode & 0o707, "neither the owner nor others got anything"
    assert counts.given == 2, "the file and its folder"
    assert walk(top).given == 0, "a second pass rests"


def test_a_program_stays_one(top):
    assert reaches(made(top / "run.sh", 0o700)) == "---"
    walk(top)
    assert reaches(top / "run.sh") == "rwx"


def test_a_directory_hands_it_down_to_what_comes_later(top):
    folder = top / "a/b"
    folder.mkdir(parents=True, mode=0o700)
    walk(top)
    assert acl_at(str(folder), DEFAULT, follow=True) == SHARED
    assert folder.stat().st_mode & stat.S_ISGID
    assert reaches(folder) == "rwx"
    later = folder / "later"
    later.touch(0o666)
    assert reaches(later) == "rw-"


def test_evidence_is_taken_away_again(top):
    """Below metadata the lists are exact; the same names elsewhere are like all others."""
    inside = {"metadata": EXACT, "manifest.json": EXACT}
    walk(top)
    (top / "metadata/deep").mkdir(parents=True)
    (top / "metadata/deep/a.log").touch(0o666)
    (top / "manifest.json").touch(0o666)
    (top / "out/metadata").mkdir(parents=True)
    assert reaches(top / "metadata/deep/a.log") == "rw-"
    counts = walk(top, inside=inside)
    assert reaches(top / "metadata") == "r-x"
    assert reaches(top / "metadata/deep") == "r-x"
    assert reaches(top / "metadata/deep/a.log") == "r--"
    assert reaches(top / "manifest.json") == "r--"
    assert reaches(top / "out/metadata") == "rwx"
    (top / "metadata/b.log").touch(0o666)
    assert reaches(top / "metadata/b.log") == "r--", "right from birth"
    assert counts.foreign == 0


def test_evidence_that_is_somebody_elses_is_counted(top):
    (top / "metadata").mkdir()
    rule = Rule(UID + 1, GID, EVIDENCE, exact=True)
    assert walk(top, Rule(UID + 1, GID, SHARED), {"metadata": rule}).foreign == 1


def test_what_somebody_moved_in_is_left_alone(top):
    """Neither the service's nor the tree's: root would open what may be a secret."""
    file = made(top / "theirs", 0o600)
    counts = walk(top, Rule(UID + 1, GID + 1, SHARED))
    assert file.stat().st_mode & 0o777 == 0o600
    assert counts.left == 2
    assert counts.given == 0


def test_what_is_being_written_gets_its_turn_later(top):
    file = made(top / "out.csv.0123456789abcdef.tmp", 0o600)
    walk(top)
    assert file.stat().st_mode & 0o777 == 0o600
    walk(file.rename(top / "out.csv").parent)
    assert reaches(top / "out.csv") == "rw-"


# ---- hostile trees

OUTSIDE_MODE = 0o600


@pytest.fixture
def outside(tmp_path):
    folder = tmp_path / "outside"
    folder.mkdir(0o700)
    return made(folder / "secret", OUTSIDE_MODE)


def untouched(path):
    return path.stat().st_mode & 0o777 == OUTSIDE_MODE and not acl_at(
        str(path), ACCESS, follow=True
    )


def test_links_lead_nowhere(top, outside):
    (top / "file").symlink_to(outside)
    (top / "folder").symlink_to(outside.parent)
    (top / "metadata").symlink_to(outside.parent)
    (top / "itself").symlink_to("itself")
    os.link(outside, top / "hard")
    counts = walk(top, inside={"metadata": EXACT})
    assert untouched(outside)
    assert outside.parent.stat().st_mode & 0o777 == 0o700
    assert (counts.left, counts.failed) == (5, 0)


def test_the_tree_itself_may_have_become_a_link(tmp_path, outside):
    planted = tmp_path / "planted"
    planted.symlink_to(outside.parent)
    assert walk(planted).left == 1
    assert untouched(outside)


def test_pipes_and_sockets_do_not_hold_it_up(top, tmp_path, monkeypatch):
    os.mkfifo(top / "pipe", 0o600)
    monkeypatch.chdir(top)  # a socket's path may have 107 characters only
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        counts = walk(top)
    assert counts.left == 2
    assert (top / "pipe").stat().st_mode & 0o777 == 0o600


def test_privileged_programs_are_left_alone(top):
    file = made(top / "su", 0o4755)
    walk(top)
    assert file.stat().st_mode & 0o7777 == 0o4755


HOSTILE = [
    b"-rf",
    b"--reference=x",
    b"a\nb",
    b"\x1b[2J\x07",
    b"\xff\xfe",
    b"\xc3\x28",
    "‮txt.exe".encode(),
    b"x" * 255,
    b" ",
    b";reboot",
    b"$(reboot)",
    b"%s%n",
    b"*",
    b"...",
    b"\\",
]


def test_hostile_names(top, capfd):
    for name in HOSTILE:
        fd = os.open(os.path.join(os.fsencode(top), name), os.O_CREAT, 0o600)
        os.close(fd)
    counts = walk(top)
    assert counts.given == 1 + len(HOSTILE)
    assert counts.failed == 0
    assert (
        str(counts) == f"{1 + len(HOSTILE)} seen, {1 + len(HOSTILE)} given access back"
    )
    assert capfd.readouterr() == ("", ""), "names may tell too much"


def test_a_tree_may_be_deeper_than_there_are_descriptors(top):
    fd = os.open(top, os.O_RDONLY)
    for _ in range(600):
        os.mkdir("d", dir_fd=fd)
        deeper = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = deeper
    os.close(fd)
    counts = walk(top)
    assert counts.left == 1
    assert counts.failed == 0


def test_what_cannot_be_done_is_counted_and_the_rest_is_done(top, monkeypatch):
    made(top / "a", 0o600), made(top / "b", 0o600)
    really, calls = os.setxattr, []

    def full(path, *args):
        calls.append(path)
        if len(calls) == 3:  # the folder's two lists come first
            raise OSError(28, "No space left on device")
        return really(path, *args)

    monkeypatch.setattr(os, "setxattr", full)
    counts = walk(top)
    assert (counts.failed, counts.given) == (1, 2)


def swap_for_links(top, outside):
    folder, file = top / "folder", top / "file"
    for path, target in ((folder, outside.parent), (file, outside)):
        spare = Path(f"{path}.real")
        path.rename(spare)
        path.symlink_to(target)
        path.unlink()
        spare.rename(path)
    os.chmod(file, 0o600)


def link_and_unlink(top, outside):
    os.link(outside, top / "hard")
    os.unlink(top / "hard")


def start(attack, *args):
    """A process that attacks until it is killed."""
    attacker = os.fork()
    if not attacker:
        try:
            while True:
                attack(*args)
        finally:
            os._exit(1)
    return attacker


@pytest.mark.parametrize("attack", [swap_for_links, link_and_unlink])
def test_a_race_is_never_won(top, outside, attack):
    """Somebody who may rename in the tree swaps names while root walks: no change outside."""
    (top / "folder").mkdir()
    made(top / "folder/secret", 0o600)
    made(top / "file", 0o600)
    mode = outside.parent.stat().st_mode
    attacker = start(attack, top, outside)
    met = rounds = 0
    try:
        while rounds < 1000 or met < 60:  # often enough to mean something
            rounds += 1
            met += walk(top).left > 0
            assert untouched(outside)
            assert outside.parent.stat().st_mode == mode
            assert not acl_at(str(outside.parent), DEFAULT, follow=True)
    finally:
        os.kill(attacker, 9)
        os.waitpid(attacker, 0)


# ---- passes: what changed since the last one


@pytest.fixture
def host(tmp_path):
    root = tmp_path / "root"
    for path in (
        "etc",
        "var/lib/opensafely",
        "srv/high_privacy/workspaces",
        "srv/high_privacy/logs",
        "srv/medium_privacy/workspaces",
        "srv/medium_privacy/requests",
    ):
        (root / path).mkdir(parents=True)
    (root / "etc/passwd").write_text(
        f"root:x:0:0::/:/bin/sh\nopensafely:x:{UID}:{GID}::/:/bin/sh\n"
    )
    (root / "etc/group").write_text(
        f"root:x:0:\nresearchers:x:10011:\nreviewers:x:{OTHER_GID}:\n"
    )
    return Unsynced(root)


class Unsynced(Host):
    """A host below a folder, whose root user is whoever runs the tests."""

    def _ids(self, owner, group):
        return UID, GID


def workspace(host, name, area="medium", files=("out.csv",)):
    folder = host.root / f"srv/{area}_privacy/workspaces" / name
    (folder / "metadata").mkdir(parents=True)
    for file in files:
        made(folder / file, 0o600)
    if area == "medium":
        finish(folder)
    return folder


def finish(folder, when_s=1_000_000_000):
    """What the agent does last: the manifest is written beside and renamed."""
    new = folder / "metadata/manifest.tmp"
    new.write_text("{}")
    new.rename(folder / "metadata/manifest.json")
    settled(folder, when_s)


def settled(folder, when_s=1_000_000_000):
    for path in (folder / "metadata/manifest.json", folder / "metadata", folder):
        if path.exists():
            os.utime(path, (when_s, when_s))


@pytest.fixture(autouse=True)
def _group_can_be_given(monkeypatch):
    """Only root may give files to a group it is not in."""
    if UID:
        monkeypatch.setattr(os, "chown", lambda *args, **kwargs: None)


def opened(function):
    """How many files and directories were opened meanwhile."""
    OPENED.clear()
    WATCHING.append(True)
    try:
        function()
    finally:
        WATCHING.clear()
    return len(OPENED)


OPENED, WATCHING = [], []
sys.addaudithook(
    lambda event, args: (
        OPENED.append(args[0]) if WATCHING and event in ("open", "os.listdir") else None
    )
)


def test_a_pass_gives_back_and_then_rests(host):
    folder = workspace(host, "study")
    high = workspace(host, "study", area="high")
    settled(high)
    counts = modes.repair(host, recent=True)
    assert reaches(folder / "out.csv") == "rw-"
    assert reaches(high / "out.csv", 10011) == "r--"
    assert reaches(folder / "metadata/manifest.json") == "r--"
    assert counts.seen == 7
    assert modes.repair(host, recent=True).seen == 0


def test_what_a_later_job_made_is_found_by_its_manifest(host):
    folder = workspace(host, "study")
    modes.repair(host, recent=True)
    (folder / "deep").mkdir()
    late = made(folder / "deep/late.csv", 0o600)
    settled(folder)
    assert modes.repair(host, recent=True).seen == 0, "the job is still at it"
    finish(folder, when_s=1_000_000_100)
    modes.repair(host, recent=True)
    assert reaches(late) == "rw-"


def test_a_log_in_high_privacy_is_a_sign_too(host):
    folder = workspace(host, "study", area="high")
    settled(folder)
    modes.repair(host, recent=True)
    made(folder / "metadata/action.log", 0o600)
    modes.repair(host, recent=True)
    assert reaches(folder / "metadata/action.log", 10011) == "r--"


def test_what_changed_just_now_is_looked_at_again(host):
    """Two changes may bear the same time: the second would be missed."""
    folder = workspace(host, "study")
    os.utime(folder / "metadata")
    assert modes.repair(host, recent=True).seen > 0
    assert modes.repair(host, recent=True).seen > 0
    settled(folder)
    assert modes.repair(host, recent=True).seen > 0
    assert modes.repair(host, recent=True).seen == 0


@pytest.mark.parametrize("recent", [True, False])
def test_repair_looks_at_everything(host, recent):
    log = made(host.root / "srv/high_privacy/logs/logs.txt", 0o600)
    request = made(host.root / "srv/medium_privacy/requests/file", 0o600)
    folder = workspace(host, "study")
    modes.repair(host, recent=True)
    os.chmod(folder / "out.csv", 0o600)
    modes.repair(host, recent=recent)
    everything = "---" if recent else "r--"
    assert reaches(log, 10011) == everything
    assert reaches(folder / "out.csv") == ("---" if recent else "rw-")
    logs = host.root / "srv/high_privacy/logs"
    assert not acl_at(str(logs), ACCESS, follow=True), (
        "what is declared is not the walk's"
    )
    assert request.stat().st_mode & 0o777 == 0o600, "requests are nobody else's"


def test_twenty_thousand_files_cost_nothing_when_nothing_changed(host):
    folder = workspace(host, "big")
    for number in range(20_000):
        os.close(os.open(folder / f"{number}.csv", os.O_CREAT, 0o666))
    settled(folder)
    for number in range(9):
        workspace(host, f"study{number}")
    modes.repair(host, recent=True)
    few = opened(lambda: modes.repair(host, recent=True))
    assert few < 40
    assert opened(lambda: modes.repair(host, recent=False)) > 20_000


def test_a_planted_workspace_leads_nowhere(host, outside):
    planted = host.root / "srv/medium_privacy/workspaces/planted"
    planted.symlink_to(outside.parent)
    modes.repair(host, recent=True)
    modes.repair(host, recent=False)
    assert untouched(outside)


def test_what_failed_is_tried_again(host, monkeypatch):
    folder = workspace(host, "study")
    really = os.setxattr

    def broken(*args):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "setxattr", broken)
    assert modes.repair(host, recent=True).failed
    monkeypatch.setattr(os, "setxattr", really)
    modes.repair(host, recent=True)
    assert reaches(folder / "out.csv") == "rw-"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"seen": 1}', '{"rules": ""}']
)
def test_a_state_without_sense_is_as_good_as_none(host, text):
    folder = workspace(host, "study")
    state = host.root / modes.STATE.lstrip("/")
    state.write_text(text)
    modes.repair(host, recent=True)
    assert reaches(folder / "out.csv") == "rw-"
    assert json.loads(state.read_text())["format"] == 1
    assert state.stat().st_mode & 0o777 == 0o600


def test_the_state_names_no_workspace_and_is_written_only_when_it_changes(host):
    workspace(host, "disclosive")
    modes.repair(host, recent=True)
    state = host.root / modes.STATE.lstrip("/")
    assert "disclosive" not in state.read_text()
    before = state.stat().st_ino
    modes.repair(host, recent=True)
    assert state.stat().st_ino == before


def test_archives_elsewhere_have_the_access_that_is_declared(host):
    """What is in them is given back; they themselves are as the run has made them."""
    archives = host.root / "srv/high_privacy/archive/kept"
    archives.mkdir(parents=True)
    (archives / "w.tar.gz").touch(0o600)
    before = [os.listxattr(each) for each in (archives.parent, archives)]
    counts = modes.repair(host, recent=False, archives="/srv/high_privacy/archive/kept")
    assert counts.given == 1
    after = [os.listxattr(each) for each in (archives.parent, archives)]
    assert before == after


def test_of_two_repairs_the_second_waits(host):
    workspace(host, "study")
    counts = []
    second = threading.Thread(
        target=lambda: counts.append(modes.repair(host, recent=False))
    )
    with only_run("somebody else", str(host.root) + modes.LOCK):
        second.start()
        second.join(0.2)
        assert not counts
    second.join()
    assert counts[0].given > 0


def test_other_rules_are_applied_to_all(host):
    workspace(host, "study")
    modes.repair(host, recent=True)
    groups = host.root / "etc/group"
    groups.write_text(groups.read_text().replace("10011", "10012"))
    assert modes.repair(host, recent=True).seen > 0


def test_a_host_that_is_no_backend_yet(host):
    (host.root / "etc/group").write_text("root:x:0:\n")
    with pytest.raises(UserError, match="no group researchers"):
        modes.repair(host, recent=False)


def test_trees_that_are_not_there_are_no_error(host, tmp_path):
    (host.root / "srv").rename(tmp_path / "gone")
    assert modes.repair(host, recent=False).seen == 0
