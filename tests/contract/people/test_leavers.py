"""Shutting the doors of leavers, with the real commands and processes."""

import os
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from backend_server.access.pam_profiles import SECRETS
from backend_server.checkout.keys import KEY_FOLDER as KEYS
from backend_server.checkout.service import AIRLOCKS
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.people import crontabs, owned, processes
from backend_server.people.doors import DOORS, open_doors, shut_out
from backend_server.people.leavers import Leavers
from backend_server.resources import Group, Members, User
from backend_server.text.errors import UserError
from backend_server.text.roles import MARKER
from sandbox.airlock.store import Store


pytestmark = pytest.mark.share("people")


ADA = User("ada", home="/home/ada", marker=MARKER)
CRONTAB = Path("/var/spool/cron/crontabs/ada")
AT_JOBS = Path("/var/spool/cron/atjobs")
LINGER = Path("/var/lib/systemd/linger/ada")
UNLOOKED = "files not looked through"  # once the first of the doors is shut
ALL_OPEN = {
    *("no expiry", "a password", "1 key", "groups mail staff", "lingering"),
    *("a crontab", "1 at job", "1 process", "a second factor", UNLOOKED),
    "1 login to Airlock",
}


def apply(*resources):
    host = Host()
    for resource in resources:
        resource.apply(host, resource.check(host))


def ada_is_here():
    if MARKER not in HostReader().groups():
        apply(Group(MARKER), ADA)


def run_as(name, *argv):
    user = HostReader().users()[name]
    ids = [f"--reuid={user.uid}", f"--regid={user.gid}", "--clear-groups"]
    process = subprocess.Popen(["setpriv", *ids, *argv], stdout=subprocess.PIPE)
    assert process.stdout.readline()
    return process


def put(path, text="", owner="root"):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.chown(path, HostReader().users()[owner].uid, -1)


def everything_open():
    """ada has all there is; the process that stands for her sessions."""
    ada_is_here()
    apply(Members("staff", frozenset({"ada"})), Members("mail", frozenset({"ada"})))
    Host().run("usermod", "--password", "$y$", "ada")
    key = "AAAAC3NzaC1lZDI1NTE5AAAAIKToJWX0fvGLQJZYJEnkl0aWAMt3MpfBnIy5lgjRCxQC"
    put(f"{KEYS}/ada", f"ssh-ed25519 {key}\n")
    put(LINGER)
    put(f"{SECRETS}/ada", "secret\n")
    put(
        CRONTAB,
        "* * * * * \udcff\n".encode("utf-8", "surrogateescape").decode("latin1"),
        "ada",
    )
    Path(AIRLOCKS).parent.mkdir(parents=True, exist_ok=True)
    with Store(Path(AIRLOCKS).parent) as store:
        store.begin_session({"username": "ada"})
    put(AT_JOBS / "a0001", "date\n", "ada")
    put(AT_JOBS / "a0002", "theirs\n")
    return run_as("ada", "sh", "-c", "echo; exec sleep 600")


def test_every_door_is_shut_in_order():
    session = everything_open()
    found = {f"ada: {what}" for what in ALL_OPEN - {UNLOOKED}}
    assert open_doors(HostReader(), "ada") == found
    shut = list(shut_out(Host(), "ada"))
    assert [name for name, _ in shut] == [door.name for door in DOORS]
    assert {what for _, what in shut} == ALL_OPEN
    assert open_doors(HostReader(), "ada") == frozenset()
    assert session.wait(10) == -9
    assert [what for _, what in shut_out(Host(), "ada")] == [""] * len(DOORS)
    assert [path.name for path in AT_JOBS.iterdir()] == ["a0002"]
    assert Path("/home/ada").exists()


@pytest.mark.parametrize("again", [1, 2])
def test_what_is_put_away_is_whole_and_roots(again):
    """Whoever leaves twice has two crontabs there."""
    for number in range(again):
        everything_open()
        os.utime(CRONTAB, (number, number))
        list(shut_out(Host(), "ada"))
    folder = Path(crontabs.PUT_AWAY, "ada")
    kept = sorted(folder.glob("crontab.*"))
    assert len(kept) == again
    assert folder.stat().st_mode & 0o777 == 0o700
    for path in folder.iterdir():
        assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (0, 0o600)


def test_what_is_no_file_is_put_away_too():
    everything_open()
    CRONTAB.unlink()
    os.mkfifo(CRONTAB)
    (AT_JOBS / "a0001").unlink()
    (AT_JOBS / "a0001").symlink_to("/etc/passwd")
    os.lchown(AT_JOBS / "a0001", HostReader().users()["ada"].uid, -1)
    before = Path("/etc/passwd").stat()
    list(shut_out(Host(), "ada"))
    assert open_doors(HostReader(), "ada") == frozenset()
    after = Path("/etc/passwd").stat()
    assert (after.st_uid, after.st_mode) == (before.st_uid, before.st_mode)


def test_a_door_that_will_not_shut_keeps_no_other_open(monkeypatch):
    # Of the whole machine, and tried below.
    monkeypatch.setattr(owned, "files", lambda host, name: [])
    session = everything_open()
    Path(KEYS, "ada").unlink()
    Path(KEYS, "ada").mkdir()
    apply(User("grace", home="/home/grace", marker=MARKER))
    with pytest.raises(UserError, match="ada: 0 keys") as failed:
        apply(Leavers(MARKER, frozenset()))
    assert "keys: " in failed.value.hint
    assert open_doors(HostReader(), "ada") == {"ada: 0 keys"}
    assert session.wait(10) == -9
    assert open_doors(HostReader(), "grace") == frozenset()


def test_who_forks_for_ever_is_ended():
    ada_is_here()
    for loop in ("(exit 0);", "sleep 0.001 &"):
        run_as("ada", "sh", "-c", f"echo; while :; do {loop} done")
    processes.end(Host(), HostReader().users()["ada"].uid)
    assert open_doors(HostReader(), "ada") == {"ada: no expiry"}


def test_nobody_else_is_ended():
    """Not root, not a namesake, not the one whom the killer pretends to be."""
    ada_is_here()
    apply(User("ada-b", home="/home/ada-b"))
    root = subprocess.Popen(["sleep", "600"])
    others = [
        run_as(name, "sh", "-c", "echo; exec sleep 600") for name in ("ada-b", "nobody")
    ]
    leaver = run_as("ada", "sh", "-c", "echo; exec sleep 600")
    processes.end(Host(), HostReader().users()["ada"].uid)
    assert leaver.wait(10) == -9
    assert [process.poll() for process in (root, *others)] == [None] * 3


def test_a_program_that_became_root_is_ended():
    """As sudo and su do, which the account itself may not kill."""
    ada_is_here()
    uid = HostReader().users()["ada"].uid
    script = f"import os, time; os.setresuid({uid}, 0, 0); print(flush=True); time.sleep(600)"
    process = subprocess.Popen(["python3", "-S", "-c", script], stdout=subprocess.PIPE)
    assert process.stdout.readline()
    processes.end(Host(), uid)
    assert process.wait(10) == -9


def test_who_is_no_leaver():
    """Nobody who stays, no system account, no name without an account."""
    ada_is_here()
    text = Path("/etc/group").read_text()
    marked = f"{MARKER}:x:1000:ada"
    assert marked in text
    Path("/etc/group").write_text(text.replace(marked, f"{marked},root,daemon,gone"))
    assert Leavers(MARKER, frozenset({"ada"})).check(HostReader()) == ()
    (change,) = Leavers(MARKER, frozenset()).check(HostReader())
    assert change.before == {"ada: no expiry"}


def test_no_look_at_processes_where_nobody_left(monkeypatch):
    ada_is_here()
    monkeypatch.setattr(processes, "running", None)
    assert Leavers(MARKER, frozenset({"ada"})).check(HostReader()) == ()


@pytest.mark.parametrize("name", ["gone", "daemon"])
def test_a_name_with_no_account_or_with_a_systems(name):
    """As somebody may revoke it."""
    put(f"{KEYS}/{name}")
    with suppress(UserError):
        list(shut_out(Host(), name))
    assert not Path(KEYS, name).exists()


def test_files_are_counted_by_place():
    """Their names may hold anything, and are not asked for."""
    apply(User("linus", home="/home/linus"))
    Host().run("usermod", "--uid", "54321", "linus")  # nobody's on the whole machine
    files = len(list(Path("/home/linus").iterdir()))
    for path in ("/home/linus/.x/y/z\n\udcff", "/var/tmp/x", "/var/spool/x"):
        put(path, owner="linus")
    told = owned.told(owned.files(HostReader(), "linus"))
    places = f"{files + 1} in /home/linus, 1 in /var/spool, 1 in /var/tmp"
    assert told == f"{files + 3} files: {places}"
