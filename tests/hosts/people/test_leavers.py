"""Whoever is off the rosters has no door left, and whoever is back has theirs again."""

from __future__ import annotations

import contextlib
import functools
import random
import subprocess

import pytest

from tests.hosts.doors import opens
from tests.hosts.managing import CHECKOUT, KILLED, edited, people_of, rests
from tests.hosts.people import at_work
from tests.hosts.people.at_work import (
    give_key,
    key_of,
    processes_of,
    shell,
    with_at_and_tmux,
)
from tests.hosts.programs import wait_until


pytestmark = pytest.mark.share("people")

PASSWORD = "Plum7-Kettle_Orbit"
DEVELOPERS = f"{CHECKOUT}/developers"
RESEARCHERS = f"{CHECKOUT}/emis/researchers"

# What somebody leaves behind who means to come back, as root sets it up for them: $1.
ARRANGE = f"""
echo $1:{PASSWORD} | chpasswd
echo '* * * * * date >>~/cron.log' | crontab -u $1 -
cd / && runuser -u $1 -- sh -c 'echo date | at now + 1 hour' 2>&1
home=/home/$1/.config/systemd/user
install -d -o $1 -g $1 $home/default.target.wants
printf '[Service]\\nExecStart=sh -c "trap : TERM; while :; do sleep 60; done"\\n' >$home/mine.service
ln -sf ../mine.service $home/default.target.wants
loginctl enable-linger $1
"""
# The same, in a session of their own.
AT_WORK = """
tmux new-session -d 'while :; do sleep 1; done'
nohup setsid sh -c 'exec 9>~/held; sleep 7000' >/dev/null 2>&1 &
"""
WITH_SUDO = f"""
echo {PASSWORD} | sudo -S -p '' sh -c '
setsid sleep 7001 & sudo -iu opensafely setsid sleep 7002 &' >/dev/null 2>&1
"""
# Two that fork for ever: there is always another, and there are always more.
FORKING = """
for loop in '(exit 0);' 'sleep 0.001 &'; do
    setsid runuser -u $1 -- sh -c "while :; do $loop done" >/dev/null 2>&1 &
done
"""


@pytest.fixture(scope="module")
def host(shared_warm_host):
    return with_at_and_tmux(shared_warm_host, "emis")


@contextlib.contextmanager
def on_roster(host, *names, roster=DEVELOPERS):
    """They are there too, with ada's key."""
    lines = "".join(f"{name}\n" for name in names)
    for name in names:
        give_key(host, name)
    with edited(host, roster, host.read(roster) + lines):
        yield


run = functools.partial(at_work.run, backend="emis")


def arranged(host, *names):
    for name in names:
        assert shell(host, ARRANGE, name).returncode == 0


@contextlib.contextmanager
def session_of(host, name, script):
    """Over ssh: what SCRIPT started goes on, and then a session that is open."""
    argv = host.ssh_argv(name, key_of(host, name), f"{script}\nsleep 7000")
    session = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: "sleep 7000 " in processes_of(host, name))
        yield session
    finally:
        session.kill()
        session.wait()


def arrangements(host, name):
    """What they have on the host that acts, or lets them act, without a login."""
    return host.run(
        f"ls -d /etc/ssh/opensafely_keys/{name} /var/lib/systemd/linger/{name} "
        f"/var/spool/cron/crontabs/{name}; "
        f"find /var/spool/cron/atjobs -user {name}",
        check=False,
    ).stdout.splitlines()


def shut(host, name):
    """Whether nothing is left by which they could act; their account is as it was else."""
    assert processes_of(host, name) == []
    assert arrangements(host, name) == []
    assert not opens(host, name, key_of(host, name))
    shadow = host.run(f"getent shadow {name}").stdout.split(":")
    assert (shadow[1], shadow[7]) == ("!", "0")
    groups = host.run(f"id -nG {name}").stdout.split()
    return groups == [name, "opensafely-people"]


def files_in(host, folder):
    """With what is in them; cron may write to its own at any moment."""
    find = f"find {folder} -type f ! -name cron.log -exec md5sum {{}} +"
    return {*host.run(find).stdout.splitlines()}


def may_act(host, name):
    """Which programs of the system would start something for them."""
    ask = f"echo {PASSWORD} | runuser -u {name} -- sudo -S -k -p '' true"
    job = f"systemd-run -qG --wait --pipe -p PAMName=cron -p User={name} true"
    su = f"echo {PASSWORD} | runuser -u grace -- su {name} -c true"
    ways = {"sudo": ask, "cron": job, "su": su}
    return {
        way for way, line in ways.items() if not host.run(line, check=False).returncode
    }


def test_every_door_of_two_leavers(host):
    host.run("systemd-run --uid=opensafely --unit=job sleep 7003")
    host.run("groupadd -f plugdev; gpasswd -a rita plugdev")
    with on_roster(host, "linus-b"):
        with on_roster(host, "linus"):
            run(host)
            arranged(host, "linus", "linus-b", "rita")
            home = files_in(host, "/home/rita")
            linus = session_of(host, "linus", AT_WORK + WITH_SUDO)
            rita = session_of(host, "rita", AT_WORK)
            stays = session_of(host, "linus-b", "true")
            entered = contextlib.ExitStack()
            sessions = [entered.enter_context(way) for way in (linus, rita, stays)]
            wait_until(lambda: "sleep 7002 " in processes_of(host, "linus"))
            assert may_act(host, "linus") == {"sudo", "cron", "su"}
            namesake = processes_of(host, "linus-b"), arrangements(host, "linus-b")
            assert shell(host, FORKING, "linus").returncode == 0
        with edited(host, RESEARCHERS, "# nobody\n"), entered:
            done = run(host)
            assert [session.wait(10) for session in sessions[:2]] == [255, 255]
            assert shut(host, "linus")
            assert shut(host, "rita")
            assert may_act(host, "linus") == set()
            assert sessions[2].poll() is None
            found = processes_of(host, "linus-b"), arrangements(host, "linus-b")
            assert found == namesake
            assert rests(host, "emis", words="--offline")
    assert "linus: group developers" in done.stdout
    assert "rita: groups opensafely-unprivileged plugdev researchers" in done.stdout
    assert "rita still owns " in done.stderr
    assert " in /home/rita" in done.stderr
    assert home <= files_in(host, "/home/rita")
    kept = host.run("cat /var/lib/opensafely/leavers/rita/*").stdout
    assert "cron.log" in kept
    assert "\ndate" in kept
    assert host.run("systemctl is-active job").stdout == "active\n"
    assert host.run("systemctl --failed --plain --no-legend").stdout == ""


def test_whoever_is_back_on_the_roster(host):
    """After the test above: rita is on her roster still, linus is again."""
    with on_roster(host, "linus", "linus-b"):
        run(host)
        for name in ("linus", "rita"):
            assert opens(host, name, key_of(host, name))
            shadow = host.run(f"getent shadow {name}").stdout.split(":")
            assert (shadow[1], shadow[7]) == ("!", "")
            assert arrangements(host, name)[1:] == []
        assert "linus" in people_of(host, "developers")
        assert "rita" in people_of(host, "researchers")
        assert "rita" not in people_of(host, "plugdev")
        assert rests(host, "emis", words="--offline")
    run(host)


def test_the_day_that_a_roster_names(host):
    """The account itself ends then, whether or not a run comes by."""
    with edited(host, RESEARCHERS, "rita expires=2999-12-31\n"):
        run(host)
        assert "Dec 31, 2999" in host.run("chage -l rita").stdout
        assert rests(host, "emis", words="--offline")
    run(host)
    assert host.run("getent shadow rita").stdout.split(":")[7] == ""


ATTEMPT = """
cd /srv/backend-server
/usr/bin/python3 -I -S /opt/killed.py $1 /run/steps backend_server/entry.py . emis --yes --offline
"""
SEED, SAMPLE = 4, 6


def attempt(host, step):
    """Of a run that shuts linus out, killed at a step."""
    host.run("rm -rf /var/lib/opensafely/leavers")  # so that each has the same steps
    with on_roster(host, "linus"):
        run(host)
        arranged(host, "linus")
    host.run("runuser -u linus -- setsid sleep 7000 >/dev/null 2>&1 &")
    return shell(host, ATTEMPT, step).returncode


def test_killed_between_any_two_steps(host, pytestconfig):
    host.write("/opt/killed.py", KILLED.read_text())
    assert attempt(host, 0) == 0
    assert shut(host, "linus")
    assert rests(host, "emis", words="--offline")
    steps = range(1, 1 + int(host.run("cat /run/steps").stdout))
    if not pytestconfig.getoption("--long"):
        steps = random.Random(SEED).sample(steps, SAMPLE)
    for step in steps:
        print(f"killed at step {step}")  # shown when it fails
        assert attempt(host, step) in (137, 1)  # 1: of who waits for what was killed
        run(host)
        assert shut(host, "linus")
        assert rests(host, "emis", words="--offline")
