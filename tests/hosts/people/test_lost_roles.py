"""Whoever loses a role keeps the account, and nothing that was begun with the role goes on."""

from __future__ import annotations

import contextlib
import re
import subprocess

import pytest

from tests.hosts.managing import CHECKOUT, KILLED, edited, history, manage, rests
from tests.hosts.people.at_work import (
    give_key,
    key_of,
    processes_of,
    run,
    shell,
    with_at_and_tmux,
)
from tests.hosts.programs import in_background, wait_until


pytestmark = pytest.mark.share("doors")

ROSTERS = {
    "developers": f"{CHECKOUT}/developers",
    "researchers": f"{CHECKOUT}/test/researchers",
    "reviewers": f"{CHECKOUT}/test/reviewers",
}
BEFORE = {
    "developers": ("ada", "grace", "ivan"),
    "researchers": ("rita",),
    "reviewers": ("gus", "hank", "vera"),
}
AFTER = {
    "developers": ("ada", "grace"),
    "researchers": ("ivan",),
    "reviewers": ("gus", "hank", "rita"),
}
HIGH, MEDIUM = (
    f"/srv/{level}_privacy/workspaces/secret" for level in ("high", "medium")
)
PLACES = (
    "/home",
    "/tmp",
    "/var/tmp",
    "/dev/shm",
    "/srv/high_privacy",
    "/srv/medium_privacy",
)
APPLIED = "/var/lib/opensafely/applied.json"

# Says that it waits, and tries when the gate is opened: NAME COMMAND…
WAITS = """\
#!/bin/sh
echo waits >/run/tried/$1
exec flock --shared /run/gate sh -c '"$@" >/run/tried/$0 2>&1' "$@"
"""
OPEN_PLACE = """
install -d -m 1777 /run/tried /opt/open
touch /run/gate
for level in high medium; do
    runuser -u opensafely -- sh -c "echo $level >/srv/${level}_privacy/workspaces/secret"
done
"""
# Each way in which something of rita's goes on without her.
OF_RITA = f"""
exec >/dev/null 2>&1 </dev/null
(setsid waits rita.daemon cat {HIGH} &)
tmux new-session -d 'waits rita.tmux cat {HIGH}'
echo '@reboot waits rita.cron cat {HIGH}' | crontab -
export XDG_RUNTIME_DIR=/run/user/$(id -u)
systemd-run --user waits rita.unit cat {HIGH}
cp /bin/bash /var/tmp/of-rita && chgrp researchers /var/tmp/of-rita && chmod 2755 /var/tmp/of-rita
install -d -m 2755 /var/tmp/folder-of-rita
"""
# Root's, the service's, and one that asks sudo with the groups of before.
OF_IVAN = """
exec >/dev/null 2>&1 </dev/null
sudo setsid waits ivan.root head -n 1 /etc/shadow &
sudo -iu opensafely setsid waits ivan.service id -un &
setsid waits ivan.sudo sudo -n id -un &
echo 'sudo waits ivan.at head -n 1 /etc/shadow' | at now
"""
OF_VERA = "cp /bin/bash /dev/shm/of-vera; chmod 4755 /dev/shm/of-vera"
OF_GUS = f"""
exec >/dev/null 2>&1 </dev/null
cd /tmp
setsid waits gus.daemon cat {MEDIUM} &
"""
OF_GUS_SET_ID = "cp /bin/bash /tmp/of-gus && chmod 4755 /tmp/of-gus"


@pytest.fixture(scope="module")
def host(shared_warm_host):
    host = with_at_and_tmux(shared_warm_host, "test")
    host.write("/usr/bin/waits", WAITS, 0o755)
    host.run(OPEN_PLACE)
    return host


@contextlib.contextmanager
def rosters(host, people):
    """They say this; everybody has ada's key."""
    with contextlib.ExitStack() as stack:
        for roster, names in people.items():
            for name in (each.split()[0] for each in names):
                give_key(host, name)
            text = "".join(f"{name}\n" for name in names)
            stack.enter_context(edited(host, ROSTERS[roster], text))
        yield


def ssh(host, name, command, check=True):
    return host.ssh(name, key_of(host, name), command, check)


def become(name):
    return ("runuser", "-u", name, "--")


def as_(host, name, command):
    """What a process of theirs says, with the groups that they have now."""
    script = f'{" ".join(become(name))} bash -c "$SCRIPT"'
    done = host.run(script, check=False, env={"SCRIPT": command})
    return done.stdout + done.stderr


def tried(host):
    """What each of those that waited got; `waits`: it is gone, or waits still."""
    lines = host.run("cd /run/tried && head -n 1 -v *").stdout.split()
    names = [word for word in lines if "." in word and not word.startswith("/")]
    return {name: host.run(f"cat /run/tried/{name}").stdout.strip() for name in names}


@contextlib.contextmanager
def multiplexed(host, name, folder):
    """A connection that further commands go over."""
    argv = host.ssh_argv(name, key_of(host, name))
    mux = [argv[0], "-M", "-N", "-S", f"{folder}/mux", *argv[1:]]
    master = subprocess.Popen(mux, stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: over(argv, folder, "true").returncode == 0)
        yield lambda command: over(argv, folder, command)
    finally:
        master.kill()
        master.wait()


def over(argv, folder, command):
    line = [argv[0], "-S", f"{folder}/mux", "-oControlMaster=no", *argv[1:], command]
    return subprocess.run(line, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def lost(host, tmp_path_factory):
    """What a run said that took ivan's, rita's and vera's roles, all of them at work."""
    with rosters(host, BEFORE):
        run(host)
        host.run("loginctl enable-linger rita")
        with in_background(host, "flock", "-o", "/run/gate", "sleep", "infinity"):
            ssh(host, "rita", OF_RITA)
            host.run("rm -f /run/crond.reboot; systemctl restart cron")
            ssh(host, "ivan", OF_IVAN)
            for name, script in (
                ("vera", OF_VERA),
                ("gus", OF_GUS),
                ("gus", OF_GUS_SET_ID),
            ):
                as_(host, name, script)
            wait_until(lambda: len(tried(host)) == 9)
            folder = tmp_path_factory.mktemp("mux")
            with multiplexed(host, "rita", folder) as another:
                assert another(f"cat {HIGH}").stdout == "high\n"
                with rosters(host, AFTER):
                    planned = manage(host, "plan --offline").stdout
                    done = run(host)
                    late = another(f"cat {HIGH}").stdout
        wait_until(lambda: tried(host)["gus.daemon"] != "waits")
        with rosters(host, AFTER):
            yield planned, done, late
    run(host)


def test_nothing_of_before_goes_on(host, lost):
    planned, done, late = lost
    found = tried(host)
    assert found.pop("gus.daemon") == "medium"
    assert set(found.values()) == {"waits"}, found
    assert late == ""
    for name in ("ivan", "rita", "vera"):
        assert processes_of(host, name) == []
    assert rests(host, words="--offline")


def test_it_is_said_whose_sessions_end_and_why(host, lost):
    planned, done, late = lost
    for said in (planned, done.stdout):
        assert re.search("ivan: [0-9]+ processes begun in developers", said), said
        assert re.search("rita: [0-9]+ processes begun in researchers", said), said
        assert "gus: " not in said
        assert "~ NftTable opensafely\n" in said  # by the lines of its file alone
        assert '"expr"' not in said
    assert (
        "set-user-id and set-group-id taken from rita's '/var/tmp/of-rita'"
        in done.stderr
    )
    assert "vera's '/dev/shm/of-vera'" in done.stderr


def test_they_log_in_again_with_what_they_have_now(host, lost):
    assert ssh(host, "ivan", f"cat {HIGH}; id -nG").stdout.split() == [
        *("high", "ivan", "opensafely-people", "opensafely-unprivileged", "researchers")
    ]
    assert ssh(host, "ivan", "sudo -n true", check=False).returncode
    assert as_(host, "rita", f"cat {MEDIUM}") == "medium\n"
    assert "denied" in as_(host, "rita", f"cat {HIGH}")
    assert "@reboot" in host.run("crontab -u rita -l").stdout
    assert host.run("ls /var/lib/systemd/linger").stdout == "rita\n"


def test_set_id_copies_open_nothing(host, lost):
    assert "denied" in as_(host, "hank", f"/var/tmp/of-rita -p -c 'cat {HIGH}'")
    assert as_(host, "hank", "/dev/shm/of-vera -p -c 'id -un'") == "hank\n"
    modes = "stat -c %a /var/tmp/of-rita /dev/shm/of-vera /var/tmp/folder-of-rita /tmp/of-gus"
    assert host.run(modes).stdout.split() == ["755", "755", "2755", "4755"]


CONNECT = "exec 3<>/dev/tcp/127.0.0.1/8022 && head -c 4 <&3"
GREETS = """import socket
server = socket.create_server(("127.0.0.1", 8022))
print("listens", flush=True)
while True:
    server.accept()[0].sendall(b"open")
"""


@contextlib.contextmanager
def greeter(host):
    """Meanwhile somebody on this host answers whoever may connect there."""
    with in_background(host, "/usr/bin/python3", "-c", GREETS) as server:
        assert "listens" in server.line()
        yield


def test_a_uid_of_no_role_has_no_network(host, lost):
    """Where a copy of theirs is somewhere else, too."""
    for name in ("vera", "ivan"):
        copy = f"/opt/open/{name}"
        host.run(f"cp /bin/bash {copy}; chown {name} {copy}; chmod 4755 {copy}")
        assert as_(host, "hank", f"{copy} -p -c 'id -un'") == f"{name}\n"
    with greeter(host):
        assert "open" in as_(host, "hank", f"/opt/open/ivan -p -c '{CONNECT}'")
        assert "refused" in as_(host, "hank", f"/opt/open/vera -p -c '{CONNECT}'")
        assert "refused" in as_(host, "rita", f"bash -p -c '{CONNECT}'")


TRY = "install -m 4755 /usr/bin/id {0}/.id; mknod {0}/.null c 1 3; chmod 666 {0}/.null"


@pytest.mark.parametrize("place", PLACES)
def test_where_people_write_nobody_becomes_somebody_else(host, lost, place):
    name = "ivan" if "high" in place else "gus"
    for folder in ("/opt/open", place):
        host.run(TRY.format(folder))
    assert as_(host, name, "/opt/open/.id -u; : </opt/open/.null") == "0\n"
    said = as_(host, name, f"{place}/.id -u; : <{place}/.null")
    host.run(f"rm /opt/open/.id /opt/open/.null {place}/.id {place}/.null")
    assert "denied" in said
    first = said.split()[0]
    # Where outputs are looked at nothing starts at all.
    fine = first == "bash:" if "medium" in place else first not in ("0", "bash:")
    assert fine, said


# ---- whatever their files are called


# Programs, a pipe and a socket, each of them set-user-id and set-group-id; and in the place of a
# lock of an X server's, a folder.
OF_ANY_NAME = r"""
import os, shutil, socket
os.makedirs("/tmp/.X99-lock", exist_ok=True)
if os.path.exists("/tmp/of-gus"):
    os.unlink("/tmp/of-gus")
os.chdir("/home/gus")
for name in (b"c\rd", b"n\nl", b"\xff\xfe", b"\x1b]0;mine\a\x1b[2J", b"\xe2\x80\xa8", b"'; : ", b"-"):
    shutil.copy(b"/bin/true", name)
    os.chmod(name, 0o6755)
for name in ("pipe", "socket"):
    if not os.path.exists(name):
        os.mkfifo(name) if name == "pipe" else socket.socket(socket.AF_UNIX).bind(name)
    os.chmod(name, 0o6755)
"""
NUMBER = 9


def set_id_of_gus(host):
    find = "find /home /tmp /var/tmp /dev/shm /srv -user gus -perm /6000 ! -type d"
    return len(host.run(f"{find} -printf x").stdout)


def files_of_any_name(host):
    host.run("runuser -u gus -- python3 -I -S -", stdin=OF_ANY_NAME)
    assert set_id_of_gus(host) == NUMBER


def drives_no_terminal(done):
    return (done.stdout + done.stderr).replace("\n", "").isprintable()


def nothing_follows(host):
    """A revocation has systemd do the rest after it, and where that fails, again each minute."""
    host.run("systemctl stop 'opensafely-watch-*'; systemctl stop opensafely-people")
    host.run("systemctl reset-failed opensafely-people", check=False)


def test_what_files_are_called_keeps_nothing_open(host):
    others = {"researchers": ("rita", "gus"), "reviewers": ("hank",)}
    with rosters(host, BEFORE):
        run(host)
        files_of_any_name(host)
        works = in_background(host, *become("vera"), "sleep", "7000")
        with works, rosters(host, others):
            done = run(host)
            assert drives_no_terminal(done)
            assert r"'/home/gus/c\rd'" in done.stderr
            assert set_id_of_gus(host) == 0
            assert processes_of(host, "vera") == []
            assert rests(host, words="--offline")
        files_of_any_name(host)
        done = manage(host, "people revoke gus --why 'a laptop was stolen'")
        assert done.returncode == 0, done.stdout + done.stderr
        assert drives_no_terminal(done)
        assert set_id_of_gus(host) == 0


def test_a_file_that_nobody_can_change_is_named(host):
    """With a command that does the rest of it, and none of root's work for whoever swaps it."""
    kept = r"/home/gus/$'c\rd'"
    with rosters(host, BEFORE):
        manage(host, "people readmit gus")
        run(host)
        files_of_any_name(host)
        host.run(f'bash -c "chattr +i {kept}"')
        done = manage(host, "people revoke gus --why 'a laptop was stolen'")
        assert done.returncode == 1
        assert drives_no_terminal(done)
        assert set_id_of_gus(host) == 1
        assert r"'/home/gus/c\rd'" in done.stderr
        host.run(f'bash -c "chattr -i {kept}"')
        nothing_follows(host)
        (command,) = re.findall("(setpriv .*)", done.stderr)
        files_of_any_name(host)
        host.run("cp /bin/true /home/gus/of-root; chmod 6755 /home/gus/of-root")
        host.run("runuser -u gus -- ln -s /home/gus/of-root /home/gus/link")
        host.run(command)
        assert set_id_of_gus(host) == 0
        assert host.run("stat -c %a /home/gus/of-root").stdout == "6755\n"
        host.run("rm /home/gus/of-root")
        done = manage(host, "--offline")
        assert done.returncode == 0, done.stdout + done.stderr
        manage(host, "people readmit gus")
    run(host)


# ---- by its date, and killed


NARROW = "systemctl reset-failed opensafely-people; systemctl start opensafely-people"
DATED = {
    **BEFORE,
    "developers": ("ada", "grace", "ivan expires=2999-12-31"),
    "researchers": ("ivan", "rita"),
}
ATTEMPT = f"""
cd {CHECKOUT}
/usr/bin/python3 -I -S /opt/killed.py $1 /run/steps backend_server/entry.py . test people narrow --offline
"""


@contextlib.contextmanager
def the_day_comes(host):
    """ivan is no developer from now on, and a root shell of his is open; he stays a researcher."""
    with rosters(host, DATED):
        run(host)
        host.run("rm -f /run/tried/*")
        with in_background(host, "flock", "-o", "/run/gate", "sleep", "infinity"):
            ssh(host, "ivan", OF_IVAN)
            wait_until(lambda: len(tried(host)) == 4)
            host.run(f"sed -i s/2999-12-31/$(date -u +%F)/ {APPLIED}")
            yield
            assert processes_of(host, "ivan") == []
        assert set(tried(host).values()) == {"waits"}
        assert "researchers" in ssh(host, "ivan", "id -nG").stdout
        assert ssh(host, "ivan", "sudo -n true", check=False).returncode


def test_by_its_date(host):
    with the_day_comes(host):
        host.run(NARROW)
        assert "ivan" in str(history(host)[-1]["resources"])
    host.run(NARROW)
    assert not host.run("ls /run/opensafely/lost").stdout


@pytest.mark.long
def test_killed_with_the_group_gone_and_all_else_going_on(host):
    host.write("/opt/killed.py", KILLED.read_text())
    with the_day_comes(host):
        for step in range(1, 100):
            assert shell(host, ATTEMPT, step).returncode == 137
            if "developers" not in host.run("id -nG ivan").stdout:
                break
        assert processes_of(host, "ivan")
        assert host.run("ls /run/opensafely/lost").stdout == "ivan\n"
        host.run(NARROW)
    run(host)


def test_no_role_without_a_network_comes_before_the_network_goes(host):
    """Also where the run does not get as far as the rules."""
    with rosters(host, BEFORE), greeter(host):
        run(host)
        assert as_(host, "rita", CONNECT) == "open"
        with rosters(host, AFTER):
            run(host, "--yes --offline --only leavers --only people")
            assert as_(host, "rita", f"cat {MEDIUM}") == "medium\n"
            assert "refused" in as_(host, "rita", CONNECT)
    run(host)


def test_after_a_boot_all_is_closed_before_anybody_runs(host):
    """As a crontab of somebody's sees it that has something for that moment."""
    line = "@reboot findmnt --noheadings --output VFS-OPTIONS --target ~ >~/options"
    host.run(f"echo '{line}' | crontab -u gus -")
    host.reboot()
    wait_until(lambda: host.run("cat /home/gus/options", check=False).stdout)
    assert {"nosuid", "nodev"} <= {*host.read("/home/gus/options").strip().split(",")}
    assert rests(host, words="--offline")
