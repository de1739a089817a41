"""Access that has ended is taken away every 15 minutes, and nothing else is done then."""

from __future__ import annotations

import contextlib
import json
import random
from typing import NamedTuple

import pytest

from sandbox import people
from sandbox.answer import Answer
from sandbox.checkout import PLACE, commit
from sandbox.fixtures import quiet_timer
from sandbox.outside import GITHUB
from tests.hosts.doors import KEYS, desk, lets_in, opens, ssh
from tests.hosts.managing import (
    CHECKOUT,
    KILLED,
    edited,
    history,
    manage,
    people_of,
    rests,
    snapshot,
)
from tests.hosts.programs import in_background, on_terminal, wait_until


pytestmark = pytest.mark.share("people")

FOLDER = "/var/lib/opensafely"
APPLIED = f"{FOLDER}/applied.json"
SERVICE = "opensafely-people.service"
RESEARCHERS = f"{CHECKOUT}/test/researchers"
REVIEWERS = f"{CHECKOUT}/test/reviewers"
RITA = "rita expires=2999-12-31\n"
# systemd would not start it often in a short time.
NARROW = f"""
systemctl reset-failed {SERVICE}
systemctl start {SERVICE}
systemctl show -P ExecMainStatus {SERVICE}
journalctl --sync
journalctl -q -o cat _SYSTEMD_INVOCATION_ID=$(systemctl show -P InvocationID {SERVICE})
"""


@pytest.fixture(scope="module")
def host(shared_warm_host):
    return shared_warm_host("test", shape=[quiet_timer])


class Narrowed(NamedTuple):
    """How the service's run ended, what it and its programs said, and its history."""

    status: int
    said: str
    lines: list


def narrow(host):
    """What the timer starts; SuccessExitStatus is what systemd makes of it."""
    before = len(history(host))
    done = host.run(NARROW)
    status, _, said = done.stdout.partition("\n")
    assert "Traceback" not in said
    return Narrowed(int(status), said, history(host)[before:])


def settle(host):
    done = manage(host, "--accept-keys")
    assert done.returncode == 0, done.stdout + done.stderr


@contextlib.contextmanager
def applied(host, path, text):
    """A roster says this, and a run has acted on it; afterwards all is as it was."""
    with edited(host, path, text):
        settle(host)
        yield
    settle(host)


def the_day_comes(host):
    """For everybody whose last day is RITA's."""
    host.run(f"sed -i s/2999-12-31/$(date -u +%F)/ {APPLIED}")


def shut(host, name):
    """Whether nothing is left by which they could act."""
    assert not opens(host, name, host.people[name].key)
    assert not host.run(f"pgrep -u {name}", check=False).stdout
    assert host.run(f"getent shadow {name}").stdout.split(":")[7] == "0"
    return host.run(f"id -nG {name}").stdout.split() == [name, "opensafely-people"]


def seen_at_login(host, name):
    with desk(host, name, "bash -lc true") as terminal:
        terminal.end()
    return terminal.seen


# ---- whoever reads it

LOCK = "/run/opensafely/lock"
NOBODY = "rita\nivan\n"  # whom GitHub does not know, which is said


@pytest.mark.parametrize(
    ("words", "holder", "said", "status"),
    [
        ("people narrow", "people narrow", "degraded: the keys of ivan", 4),
        ("host tidy", "host tidy", "images removed", 0),
        ("--yes --offline", "root with pid", "nothing was touched", 2),
    ],
)
def test_a_stopped_terminal_has_no_lock(host, words, holder, said, status):
    """Others go on while nobody reads what a command says."""
    refused = edited(
        host, "/etc/docker/daemon.json", '{"icc": false, "group": "users"}'
    )
    with edited(host, RESEARCHERS, NOBODY):
        host.run(f"cp -n {CHECKOUT}/keys/ada {CHECKOUT}/keys/ivan")
        manage(host, "--yes --accept-keys")
        host.run(f"echo nobody >{LOCK}")
        with refused, on_terminal(host, f"backend {words}") as terminal:
            terminal.type("\x13")
            wait_until(lambda: host.run(f"cat {LOCK}").stdout.startswith(holder))
            wait_until(
                lambda: not host.run(f"flock -n {LOCK} true", check=False).returncode
            )
            assert terminal.process.poll() is None
            terminal.type("\x11")
            assert terminal.end() == status
        assert said in terminal.seen
    settle(host)


# ---- a day that comes


def test_the_timer(host):
    for what in ("is-enabled", "is-active"):
        assert not host.run(
            f"systemctl {what} opensafely-people.timer", check=False
        ).returncode
    assert (
        "/usr/local/sbin/backend people narrow"
        in host.run(f"systemctl cat {SERVICE}").stdout
    )


def test_the_day_that_a_roster_names(host):
    """Everything is shut, recorded and told; the rosters in the checkout play no part."""
    host.run(
        "groupadd -f plugdev; gpasswd -a rita plugdev; loginctl enable-linger rita"
    )
    host.run("echo '* * * * * date' | crontab -u rita -")
    with applied(host, RESEARCHERS, RITA):
        assert narrow(host).lines == []
        with desk(host, "rita", "setsid sleep 7001 & sleep 7000") as session:
            wait_until(
                lambda: host.run("pgrep -cu rita sleep", check=False).stdout == "2\n"
            )
            the_day_comes(host)
            with edited(host, f"{CHECKOUT}/developers", "backup\n\0 no roster\n"):
                done = narrow(host)
            assert done.status == 0, done.said
            assert session.end() != 0
        assert shut(host, "rita")
        planned = "/var/lib/systemd/linger/rita /var/spool/cron/crontabs/rita"
        assert not host.run(f"ls {planned}", check=False).stdout
        assert lets_in(host, "ada", "grace")
        last = done.lines[-1]
        assert (last["event"], last["exit"]) == ("people narrow", 0)
        assert "rita: group" in json.dumps(last["resources"])
        assert "rita" in seen_at_login(host, "ada")
        assert "access has ended" not in seen_at_login(host, "gus")
        nothing_to_do(host)
    assert opens(host, "rita", host.people["rita"].key)
    assert rests(host)


def nothing_to_do(host):
    """No line, no word, and next to nothing is started or written."""
    done = narrow(host)
    assert (done.status, done.said, done.lines) == (0, "", [])
    assert attempt(host, 0) == 0
    assert int(host.run("cat /run/steps").stdout) < 30


def test_the_account_itself_ends_on_that_day(host):
    """No run, no timer: the account says so, and sshd and sudo go by it."""
    with applied(host, f"{CHECKOUT}/developers", "ada\ngrace expires=2999-12-31\n"):
        assert "Dec 31, 2999" in host.run("chage -l grace").stdout
        for days, opened in ((1, True), (0, False)):
            host.run(f"chage -E $(date -u -d '{days} days' +%F) grace")
            done = ssh(host, "grace", host.people["grace"].key)
            assert done.returncode == (0 if opened else 255)
            may = host.run("runuser -u grace -- sudo -n true", check=False)
            assert (may.returncode == 0) == opened
    assert lets_in(host, "ada", "grace")


def test_one_of_two_rosters(host, outside):
    """That one's group is all that goes; a dead GitHub is no reason to wait."""
    with applied(host, REVIEWERS, f"gus\n{RITA}"):
        assert "rita" in people_of(host, "reviewers")
        the_day_comes(host)
        keys = host.run(f"sha256sum {KEYS}/*").stdout
        outside.stop([GITHUB])
        done = narrow(host)
        assert done.status == 4, done.said
        assert "degraded: " in done.said
        assert not host.run(f"systemctl -q is-failed {SERVICE}", check=False).stdout
        assert people_of(host, "reviewers") == {"gus"}
        assert people_of(host, "researchers") == {"rita"}
        assert opens(host, "rita", host.people["rita"].key)
        assert "rita: leaves reviewers" in seen_at_login(host, "ada")
        again = narrow(host)
        assert (again.status, again.lines) == (4, [])
        assert host.run(f"sha256sum {KEYS}/*").stdout == keys
        outside.start()


@pytest.mark.parametrize("words", ["people narrow", ""])
def test_a_full_disk_keeps_no_door_open(host, words):
    """What is to be remembered has no room: all is shut, and the run says what is missing."""
    full = f"mount -t tmpfs -o size=24k none {FOLDER}; cp -a /root/*.json {FOLDER}"
    with applied(host, RESEARCHERS, RITA):
        the_day_comes(host)
        host.run(f'sed -i \'s/seen": "20../seen": "2001/\' {FOLDER}/github.json')
        host.run(f"cp -a {FOLDER}/*.json /root; {full}; rm /root/*.json")
        host.run(f"head -c 1M /dev/zero >{FOLDER}/fill", check=False)
        host.run(f"echo '# nobody' >{RESEARCHERS}")
        try:
            done = manage(host, words)
            assert done.returncode == 1, done.stdout + done.stderr
            assert "Traceback" not in done.stderr
            assert "not all written down: No space left on device" in done.stdout
            assert shut(host, "rita")
        finally:
            host.run(f"umount {FOLDER}")


# ---- keys, revocations, rosters


def test_keys_at_github(host, outside, tmp_path):
    """What is gone there is gone here; what is new there is not let in."""
    second, third = (people.make(tmp_path / x, ["grace"])["grace"] for x in "ab")
    outside.github("grace", host.people["grace"].public_key, second.public_key)
    settle(host)
    assert opens(host, "grace", second.key)
    outside.github("grace", host.people["grace"].public_key, third.public_key)
    done = narrow(host)
    assert done.status == 4, done.said
    assert "until a person accepts that" in done.said
    assert not opens(host, "grace", second.key)
    assert not opens(host, "grace", third.key)
    assert opens(host, "grace", host.people["grace"].key)
    assert done.lines[-1]["event"] == "people narrow"
    assert "grace: loses ssh-ed25519 SHA256:" in seen_at_login(host, "ada")
    outside.answer(GITHUB, "/grace.keys", Answer(b"", 200))
    assert narrow(host).lines == []
    assert opens(host, "grace", host.people["grace"].key)
    outside.reset()
    settle(host)


def test_what_is_revoked_is_shut_again(host):
    host.run("backend people revoke rita --why 'lost a laptop'")
    host.run(f"gpasswd -a rita researchers; cp {KEYS}/grace {KEYS}/rita")
    done = narrow(host)
    assert done.status == 0, done.said
    assert shut(host, "rita")
    host.run("backend people readmit rita")
    assert narrow(host).lines == []
    assert shut(host, "rita")  # that is given back by a person
    settle(host)
    assert opens(host, "rita", host.people["rita"].key)


def test_a_roster_that_nobody_applied(host):
    """Whether or not it is committed: only a run by a person draws conclusions from it."""
    before = snapshot(host, "/etc /home")
    was = host.run(f"git -C {CHECKOUT} rev-parse HEAD").stdout
    host.run(
        f"cd {CHECKOUT} && printf 'ada\nlinus\n' >developers; cp keys/ada keys/linus"
    )
    host.run(f"echo '# nobody' >{RESEARCHERS}")
    try:
        for _ in range(2):
            done = narrow(host)
            assert (done.status, done.said, done.lines) == (0, "", [])
            assert snapshot(host, "/etc /home") == before
            commit(host.root / PLACE)
    finally:
        host.run(f"git -C {CHECKOUT} reset -q --hard {was}")
    assert lets_in(host, "ada", "grace", "rita")


# ---- whatever else goes on


def test_before_a_first_run_has_ended(host):
    host.run(f"mv {APPLIED} /root")
    try:
        done = narrow(host)
        assert (done.status, done.said, done.lines) == (0, "", [])
    finally:
        host.run(f"mv /root/applied.json {APPLIED}")


def test_while_another_run_is_under_way(host):
    with applied(host, RESEARCHERS, RITA):
        the_day_comes(host)
        with in_background(
            host, "flock", "/run/opensafely/lock", "sh", "-c", "echo held; sleep 60"
        ) as run:
            assert run.line() == "held\n"
            done = narrow(host)
            host.run("pkill -f '^sleep 60'")
        assert (done.status, done.lines) == (0, [])
        assert "another run is under way" in done.said
        assert opens(host, "rita", host.people["rita"].key)
        narrow(host)
        assert shut(host, "rita")


def test_what_cannot_be_taken_holds_nothing_else_up(host, outside, tmp_path):
    """A door that does not shut: it is named, and everybody else has their turn."""
    second = people.make(tmp_path / "second", ["grace"])["grace"]
    outside.github("grace", host.people["grace"].public_key, second.public_key)
    with applied(host, RESEARCHERS, RITA):
        outside.github("grace", host.people["grace"].public_key)
        the_day_comes(host)
        host.run(f"mount --bind {KEYS}/rita {KEYS}/rita")
        try:
            done = narrow(host)
            assert done.status == 1
            assert "still open after every door was tried: rita: 1 key" in done.said
            assert "Device or resource busy" in done.said
            assert not opens(host, "rita", host.people["rita"].key)  # has no account
            assert not opens(host, "grace", second.key)
        finally:
            host.run(f"umount {KEYS}/rita; systemctl reset-failed")
        assert narrow(host).status == 0
        assert shut(host, "rita")


ATTEMPT = f"""
cd {CHECKOUT}
/usr/bin/python3 -I -S /opt/killed.py $1 /run/steps backend_server/entry.py . test people narrow
"""
SEED, SAMPLE = 4, 4


def attempt(host, step):
    """A run like the service's, killed at a step; 0: never."""
    host.write("/opt/killed.py", KILLED.read_text())
    done = host.run(
        f'bash -c "$ATTEMPT" - {step}', env={"ATTEMPT": ATTEMPT}, check=False
    )
    return done.returncode


def test_killed_between_any_two_steps(host, pytestconfig):
    """The next run does the rest; if anything was done, the history knows."""
    steps = [0]
    with applied(host, RESEARCHERS, RITA):
        for step in steps:
            print(f"killed at step {step}")  # shown when it fails
            settle(host)
            before = len(history(host))
            the_day_comes(host)
            assert attempt(host, step) == (137 if step else 0)
            assert narrow(host).status == 0
            assert shut(host, "rita")
            events = [line.get("event") for line in history(host)[before:]]
            assert "people narrow" in events
            if not step:
                every = range(1, 1 + int(host.run("cat /run/steps").stdout))
                long = pytestconfig.getoption("--long")
                steps += every if long else random.Random(SEED).sample(every, SAMPLE)
