"""Level 4 outputs from a server with a kernel of its own to Samba, whatever happens to that."""

from __future__ import annotations

import contextlib
import json
import shlex
import time

import pytest

from sandbox.outside import SHARE
from sandbox.share import PASSWORD, Share
from tests.hosts.managing import CHECKOUT, HISTORY, manage, rests
from tests.hosts.programs import wait_until
from tests.sampling import one_of


pytestmark = pytest.mark.share("SMB")

WORKSPACES = "/srv/medium_privacy/workspaces"
MOUNT, UNIT = "/mnt/level4", "mnt-level4"
TIMER = "opensafely-outputs.timer"
BUSY = "'opensafely-*.timer' opensafely-jobrunner docker.socket docker containerd"
# Runs in the guest: a workspace with COUNT outputs, whose text names them.
LAY = """\
import json, os, sys
top, given = "/srv/%s/workspaces/" + sys.argv[1], json.load(sys.stdin)
medium, high, outputs = top % "medium_privacy", top % "high_privacy", {}
for path, size in given.items():
    level = "highly_sensitive" if path.startswith("secret") else "moderately_sensitive"
    outputs[path] = {"level": level, "action": "describe", "excluded": False}
    for folder in (high, medium) if level[0] == "m" else (high,):
        os.makedirs(os.path.dirname(f"{folder}/{path}"), exist_ok=True)
        with open(f"{folder}/{path}", "w") as file:
            file.write((path + "\\n") * (1 + size // (len(path) + 1)))
os.makedirs(f"{medium}/metadata", exist_ok=True)
with open(f"{medium}/metadata/describe.log", "w") as file:
    file.write("done\\n")
with open(f"{medium}/metadata/manifest.json.tmp", "w") as file:
    json.dump({"workspace": sys.argv[1], "repo": None, "outputs": outputs}, file)
os.rename(f"{medium}/metadata/manifest.json.tmp", f"{medium}/metadata/manifest.json")
"""


@pytest.fixture(scope="module")
def share(sandbox):
    with Share(sandbox.lab, SHARE, "Level4Files") as made:
        yield made


@pytest.fixture(scope="module")
def host(guest, share):
    """It knows the password; nothing is pushed but when a test says so.

    What else it does is stopped: emulated, that would take most of the time.
    """
    guest.run(f"systemctl stop {BUSY} {UNIT}.automount")
    # A disk that is made from files has no immutable folders: a run sees to that again.
    manage(guest, "--only outputs --offline", "tpp")
    guest.run(f"systemctl stop {TIMER}")
    give_password(guest, PASSWORD)
    said = guest.run(f"cat {HISTORY}; journalctl; ps ax e").stdout
    assert PASSWORD not in said
    return guest


def give_password(host, password):
    command = f"{CHECKOUT}/tpp/manage.sh service secrets set SHARE_PASSWORD"
    host.run(command, stdin=password)


def lay(host, workspace, files):
    host.run(f"python3 -c {shlex.quote(LAY)} {workspace}", stdin=json.dumps(files))


def text(path, size=0):
    return (path + "\n") * (1 + size // (len(path) + 1))


def pushes(host, expect=0):
    """What a push said of itself, as data."""
    done = manage(host, "outputs push --json", "tpp")
    assert done.returncode == expect, done.stdout + done.stderr
    return json.loads(done.stdout)


def says_why(host, sentence):
    """A push, or the next: the journal may be late with what mount.cifs has said."""
    wait_until(lambda: sentence in pushes(host, 4)["why"], 60)


def status(host):
    return json.loads(manage(host, "status --json", "tpp").stdout)["outputs"]


def there(share, workspace):
    """Every file of a workspace on the share, whole, by path."""
    top = share.top / "workspaces" / workspace
    return {
        str(path.relative_to(top)): path.read_text()
        for path in top.rglob("*")
        if path.is_file()
    }


def outputs_there(share, workspace):
    return {p: t for p, t in there(share, workspace).items() if p[:9] != "metadata/"}


def half(share):
    """What is on its way."""
    return [*share.top.glob("workspaces/.opensafely-incoming-*/*")]


def test_what_a_job_writes_is_on_the_share_within_a_minute_encrypted(host, share):
    lay(host, "first", {"out/a.csv": 100, "secret/patients.csv": 100})
    began = time.monotonic()
    host.run(f"systemctl start {TIMER}")
    try:
        wait_until(lambda: "metadata/manifest.json" in there(share, "first"), 75)
    finally:
        host.run(f"systemctl stop {TIMER}")
    print(f"after {time.monotonic() - began:.1f} s")
    assert outputs_there(share, "first") == {"out/a.csv": text("out/a.csv", 100)}
    assert "patients" not in " ".join(there(share, "first"))
    assert "SMB3_11" in share.connections()
    assert "AES-128-GCM" in share.connections()
    options = host.run(f"findmnt -no OPTIONS -t cifs {MOUNT}").stdout
    wanted = {"nosuid", "nodev", "noexec", "seal", "cache=none", "nolease"}
    assert wanted <= {*options.strip().split(",")}
    assert host.run(f"runuser -u nobody -- ls {MOUNT}", check=False).returncode


def test_the_plan_rests_though_chmod_does_nothing_there(host):
    host.run(f"systemctl start {TIMER}; ls {MOUNT}; chmod 777 {MOUNT}")
    try:
        assert rests(host, "tpp", "--offline --only outputs")
    finally:
        host.run(f"systemctl stop {TIMER}")


def test_hostile_names(host, share):
    names = {
        "a:b?.csv": "a%3Ab%3F.csv",
        "CON": "%43ON",
        "dot.": "dot%2E",
        "é -x'\"": "é -x'%22",
    }
    lay(host, "hostile", {**dict.fromkeys(names, 0), "Case": 0, "case": 0, "-rf": 0})
    found = pushes(host, 1)
    assert [each["path"] for each in found["failed"]] == ["hostile/case"]
    wanted = {there: text(ours) for ours, there in names.items()}
    assert outputs_there(share, "hostile") == {
        **wanted,
        "Case": text("Case"),
        "-rf": text("-rf"),
    }
    host.run(f"rm -r {WORKSPACES}/hostile")


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.long)])
def test_a_tree_of_many_files(host, share, count):
    sizes = {f"out/{n % 40}/table {n}.csv": 100 + n * 37 % 20_000 for n in range(count)}
    lay(host, f"tree{count}", sizes)
    host.run("systemctl start opensafely-outputs.service", timeout_s=3600)
    found = pushes(host)
    assert (found["waiting"], found["failed"]) == (0, [])
    wanted = {path: text(path, size) for path, size in sizes.items()}
    assert outputs_there(share, f"tree{count}") == wanted
    assert found["files"] >= count + 2


MANY = """\
import json, os
text = {"outputs": {f"{n:x}": {"level": "moderately_sensitive"} for n in range(20_000)}}
for number in range(20):
    folder = f"/srv/medium_privacy/workspaces/many{number}/metadata"
    os.makedirs(folder)
    with open(f"{folder}/manifest.json", "w") as file:
        json.dump(text, file)
"""


@contextlib.contextmanager
def limited(host, limit):
    """The unit has less than it is given, so that a small tree is too large for it."""
    folder = "/run/systemd/system/opensafely-outputs.service.d"
    host.run(f"mkdir {folder}; printf '[Service]\\n{limit}\\n' >{folder}/limit.conf")
    host.run("systemctl daemon-reload")
    try:
        yield
    finally:
        host.run(f"rm -r {folder}; systemctl daemon-reload")


# Each takes minutes of an emulated processor.
@pytest.mark.parametrize("limit", one_of("limits", "LimitAS=120M", "MemoryMax=50M"))
def test_a_tree_that_takes_too_much_memory_ends_that_push_and_is_told(
    host, share, limit
):
    """Within the process, or by the kernel; nothing else of the host is in its way."""
    lay(host, "aaa", {limit: 0})
    push = "systemctl start opensafely-outputs.service"
    with limited(host, limit):
        host.run(push)
        assert limit in there(share, "aaa")
        lay(host, "aaa", {limit: 0, f"{limit} more": 0})
        host.run(f"python3 -c {shlex.quote(MANY)}")
        try:
            host.run(push, check=False)
            assert f"{limit} more" not in there(share, "aaa")
            found = json.loads(manage(host, "status --json", "tpp").stdout)
            told = [found["outputs"]["why"], *found["degraded"]]
            print(limit, told)
            assert any(
                "too much for this host" in why or "outputs.service has failed" in why
                for why in told
            )
        finally:
            host.run(f"rm -r {WORKSPACES}/many*")
        host.run(push)
        assert f"{limit} more" in there(share, "aaa")
    assert status(host)["why"] == ""
    host.run(f"rm -r {WORKSPACES}/aaa")


# Each takes a minute, and waits for a server in the middle of a file.
GONE = "servers that are gone"


@pytest.mark.one_of(GONE, "cut off")
@pytest.mark.parametrize("cut_s", [15, pytest.param(300, marks=pytest.mark.long)])
def test_a_network_that_is_cut_and_back(host, share, cut_s):
    name = f"cut{cut_s}"
    sizes = {f"{n}.csv": 400_000 for n in range(40)}
    lay(host, name, sizes)
    host.run("systemctl start --no-block opensafely-outputs.service")
    wait_until(lambda: len(there(share, name)) > 2, 60)
    host.unplug()
    try:
        time.sleep(cut_s)
        partial = outputs_there(share, name)
        assert partial == {path: text(path, sizes[path]) for path in partial}
    finally:
        host.plug()
    wait_until(lambda: manage(host, "outputs push", "tpp").returncode == 0, 180)
    wanted = {path: text(path, size) for path, size in sizes.items()}
    assert outputs_there(share, name) == wanted
    assert half(share) == []


@pytest.mark.one_of(GONE, "dead")
def test_a_server_that_dies_in_the_middle_of_a_file(host, share):
    size = 40_000_000
    lay(host, "killed", {"big.csv": size, "small.csv": 10})
    host.run("systemctl start --no-block opensafely-outputs.service")
    wait_until(lambda: any(path.stat().st_size > 1_000_000 for path in half(share)), 60)
    share.stop()
    try:
        wait_until(lambda: not running(host), 120)
        assert "big.csv" not in there(share, "killed")
        found = status(host)
        assert [each["path"] for each in found["failed"]] == ["killed/big.csv"]
        assert found["waiting"] >= 1
    finally:
        share.start()
    wait_until(lambda: manage(host, "outputs push", "tpp").returncode == 0, 90)
    assert outputs_there(share, "killed")["big.csv"] == text("big.csv", size)
    assert half(share) == []
    assert status(host)["waiting"] == 0


def running(host):
    state = "systemctl show --property=ActiveState --value opensafely-outputs.service"
    return host.run(state).stdout.strip() in ("activating", "active")


def seconds(act):
    """How long it takes."""
    began = time.monotonic()
    act()
    return time.monotonic() - began


def looked_at(host):
    """As `status` and a run do it; the timer is on meanwhile, and off again."""
    status(host)
    host.run(f"systemctl start {TIMER}")
    try:
        assert rests(host, "tpp", "--offline --only outputs")
    finally:
        host.run(f"systemctl stop {TIMER}")


@pytest.mark.one_of(GONE, "frozen")
def test_a_frozen_server_holds_up_nobody(host, share):
    usual_push_s = seconds(lambda: pushes(host))
    usual_s = seconds(lambda: looked_at(host))
    lay(host, "frozen", {"a.csv": 10})
    share.freeze()
    try:
        # 45 s is its patience; the rest is how busy this machine is.
        assert seconds(lambda: pushes(host, 4)) < 60 + 5 * usual_push_s
        assert status(host)["why"]
        left = host.run("pgrep -f 'outputs push'", check=False).stdout
        assert left == "", "nothing of it waits for the server"
        assert status(host)["waiting"] == 3
        assert seconds(lambda: looked_at(host)) < 15 + 3 * usual_s
    finally:
        share.thaw()
    wait_until(lambda: manage(host, "outputs push", "tpp").returncode == 0, 90)
    assert outputs_there(share, "frozen") == {"a.csv": text("a.csv", 10)}


def test_a_share_that_is_full(host, share):
    lay(host, "full", {"a.csv": 3_000_000})
    with share.full():
        failed = {each["path"]: each["why"] for each in pushes(host, 4)["failed"]}
        assert "No space" in failed["full/a.csv"]
        assert "a.csv" not in there(share, "full")
    pushes(host)
    assert outputs_there(share, "full") == {"a.csv": text("a.csv", 3_000_000)}


def test_a_share_that_is_read_only(host, share):
    lay(host, "shut", {"a.csv": 10})
    with share.read_only():
        why = pushes(host, 4)["why"]
        assert "ermission denied" in why or "ead-only" in why
        mounted = f"findmnt -t cifs {MOUNT}"  # the next push has a new connection
        wait_until(lambda: host.run(mounted, check=False).returncode, 30)
    pushes(host)
    assert outputs_there(share, "shut") == {"a.csv": text("a.csv", 10)}


def test_a_file_that_somebody_has_open_is_tried_again(host, share):
    lay(host, "held", {"a.csv": 10, "b.csv": 10})
    pushes(host)
    lay(host, "held", {"a.csv": 500, "b.csv": 500})
    with share.held("workspaces/held/a.csv"):
        found = pushes(host, 4)
        assert [each["path"] for each in found["failed"]] == ["held/a.csv"]
        assert outputs_there(share, "held") == {
            "a.csv": text("a.csv", 10),
            "b.csv": text("b.csv", 500),
        }
    pushes(host)
    assert outputs_there(share, "held")["a.csv"] == text("a.csv", 500)


@contextlib.contextmanager
def mounting_by(host, script):
    """This is what mount(8) calls meanwhile, and for two seconds."""
    place = f"/run/systemd/system/{UNIT}.mount.d"
    host.write("/root/mount.cifs", f"#!/bin/sh\n{script}\n", 0o755)
    host.write(f"{place}/soon.conf", "[Mount]\nTimeoutSec=2\n")
    host.run("mount --bind /root/mount.cifs /sbin/mount.cifs; systemctl daemon-reload")
    try:
        yield
    finally:
        host.run(f"umount /sbin/mount.cifs; rm -r {place}; systemctl daemon-reload")


def test_a_password_that_was_changed(host, share):
    """Only a server that turned it away is said to have done so, not one that says nothing then."""
    lay(host, "password", {"a.csv": 10})
    share.password("another one")
    try:
        host.run(f"systemctl stop {UNIT}.mount")  # as it is after five idle minutes
        says_why(host, "turned the account or its password away")
        with mounting_by(host, "exec sleep 60"):
            says_why(host, "does not answer")
        with mounting_by(host, "exit 32"):
            assert "password" not in pushes(host, 4)["why"]
        give_password(host, "another one")
        pushes(host)
    finally:
        share.password(PASSWORD)
    give_password(host, PASSWORD)
    wait_until(lambda: host.run(f"findmnt -t cifs {MOUNT}", check=False).returncode)
    lay(host, "password", {"a.csv": 500})
    pushes(host)
    assert outputs_there(share, "password") == {"a.csv": text("a.csv", 500)}


def test_the_folder_below_takes_nothing_however_often_the_mount_fails(host, share):
    host.run(f"systemctl stop {UNIT}.mount")
    share.stop()
    try:
        for _ in range(7):  # five in ten seconds would be systemd's limit
            assert host.run(f"touch {MOUNT}/lost", check=False).returncode
        assert host.run(f"systemctl is-active {UNIT}.automount").stdout == "active\n"
        host.run(f"systemctl stop {UNIT}.automount")
        assert host.run(f"touch {MOUNT}/lost", check=False).returncode
        lay(host, "trap", {"a.csv": 10})
        assert "is ext4 and not the share" in pushes(host, 4)["why"]
        assert host.run(f"ls -A {MOUNT}").stdout == ""
    finally:
        share.start()
    manage(host, "--offline --only outputs", "tpp")
    host.run(f"systemctl stop {TIMER}")
    pushes(host)  # the automount is back
    assert outputs_there(share, "trap") == {"a.csv": text("a.csv", 10)}


def test_a_boot_without_the_server(host, share):
    lay(host, "boot", {"a.csv": 10})
    share.stop()
    try:
        host.reboot()
        failed = host.run("systemctl --failed --plain --no-legend").stdout.split()
        assert {*failed[:1]} <= {f"{UNIT}.mount"}, failed
        chain = host.run("systemd-analyze critical-chain multi-user.target").stdout
        assert "level4" not in chain, "nobody waits for it to log in"
        ada = host.ssh("ada", host.people["ada"].key, f"id -un; ls {MOUNT}", False)
        assert (ada.stdout, ada.returncode != 0) == ("ada\n", True)
        # Just booted and emulated, TLS with whoever has the keys takes more than its 5 s.
        assert rests(host, "tpp", "--offline")
        says_why(host, "does not answer")
    finally:
        share.start()
    host.run(f"systemctl stop {TIMER}")
    wait_until(lambda: manage(host, "outputs push", "tpp").returncode == 0, 90)
    assert outputs_there(share, "boot") == {"a.csv": text("a.csv", 10)}
