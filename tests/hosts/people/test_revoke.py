"""Somebody, or a key, is shut out at once, whatever else goes on; and let back in."""

import contextlib
import json
import random
import time

import pytest

from sandbox import people
from sandbox.fixtures import quiet_timer, ubuntu_user
from tests.hosts import cutting
from tests.hosts.doors import desk, opens, ssh
from tests.hosts.managing import CHECKOUT, STOPPED, history, manage, people_of, refused
from tests.hosts.programs import in_background, on_terminal, talking, wait_until
from tests.sampling import commit


pytestmark = pytest.mark.share("people")

KEYS = "/etc/ssh/opensafely_keys"


@pytest.fixture(scope="module")
def host(shared_warm_host):
    return shared_warm_host("test", shape=[ubuntu_user, quiet_timer])


def backend(host, words):
    return host.run(f"backend {words}", check=False)


@contextlib.contextmanager
def out(host, subject):
    """Revoked meanwhile; afterwards everything is as declared again."""
    done = backend(host, f"people revoke {subject} --why 'a laptop was stolen'")
    assert done.returncode == 0, done.stdout + done.stderr
    try:
        yield done.stdout
    finally:
        assert backend(host, f"people readmit {subject}").returncode == 0
        assert manage(host).returncode == 0


def fingerprint(host, name):
    return host.run(f"ssh-keygen -lf {KEYS}/{name}").stdout.split()[1]


def test_an_account(host):
    grace = host.people["grace"].key
    with desk(host, "grace", "sleep 600") as session:
        wait_until(
            lambda: "sleep 600" in host.run("ps -u grace -o args=", check=False).stdout
        )
        with out(host, "grace") as receipt:
            assert session.end() != 0
            assert not host.run("pgrep -u grace", check=False).stdout
            assert not opens(host, "grace", grace)
            for door in ("sshd", "expiry", "keys", "groups", "sessions"):
                assert door in receipt
            assert "grace" not in people_of(host, "developers")
            # Runs that find grace on the roster leave it so.
            done = manage(host)
            assert done.returncode == 0, done.stdout + done.stderr
            assert not opens(host, "grace", grace)
            assert "grace" not in people_of(host, "developers")
            # Who revokes again, to be sure, takes no reason away.
            again = backend(host, "people revoke grace --why 'to be sure'")
            assert again.returncode == 0, again.stderr
            listed = backend(host, "people list").stdout
            assert "by root: a laptop was stolen" in listed
            assert "stolen" in desk_says(host, "ada")
    assert opens(host, "grace", grace)
    assert "grace" in people_of(host, "developers")
    events = [line["event"] for line in history(host) if "event" in line]
    assert events[-5:] == ["revoking", "revoked"] * 2 + ["readmitted"]


def test_every_door_is_shut_though_the_terminal_is_stopped(host):
    """Ctrl-S holds up who shows the receipt; Ctrl-Q has it shown."""
    grace = host.people["grace"].key
    words = "backend people revoke grace --why 'a laptop was stolen'"
    with on_terminal(host, words) as terminal:
        terminal.type("\x13")
        wait_until(lambda: history(host)[-1].get("event") == "revoked", timeout_s=60)
        assert not opens(host, "grace", grace)
        assert terminal.process.poll() is None
        terminal.type("\x11")
        assert terminal.end() == 0
    assert "sessions" in terminal.seen
    assert backend(host, "people readmit grace").returncode == 0
    assert manage(host).returncode == 0
    assert opens(host, "grace", grace)


def desk_says(host, name):
    """What somebody sees when they log in on a terminal."""
    argv = host.ssh_argv(name, host.people[name].key, "")
    with talking([argv[0], "-tt", *argv[1:-1]]) as terminal:
        terminal.type("exit\n")
        terminal.end()
        return terminal.seen


def test_only_developers_are_told(host):
    assert "laptop" not in desk_says(host, "rita")


def test_a_key(host, tmp_path):
    """Everywhere it would open anything, the provider's account too; other keys go on."""
    spare = people.make(tmp_path / "spare", ["rita"])["rita"]
    stolen = host.people["rita"].key
    host.write(
        f"{CHECKOUT}/keys/rita",
        f"{host.people['rita'].public_key}\n{spare.public_key}\n",
    )
    host.run("install -d -o ubuntu -g ubuntu -m 700 ~ubuntu/.ssh")
    host.write(
        "/home/ubuntu/.ssh/authorized_keys", f"{host.people['rita'].public_key}\n"
    )
    host.run("chown ubuntu: ~ubuntu/.ssh/authorized_keys")
    assert manage(host).returncode == 0
    which = host.run(
        "ssh-keygen -lf -", stdin=host.people["rita"].public_key
    ).stdout.split()[1]
    for user, key in (("rita", stolen), ("rita", spare.key), ("ubuntu", stolen)):
        assert opens(host, user, key)
    try:
        with desk(host, "rita", "sleep 600") as session:
            wait_until(lambda: host.run("pgrep -u rita sleep", check=False).stdout)
            with out(host, which):
                assert session.end() != 0
                for _ in range(2):
                    assert not opens(host, "rita", stolen)
                    assert not opens(host, "ubuntu", stolen)
                    assert opens(host, "rita", spare.key)
                    assert manage(host).returncode == 0
        assert opens(host, "ubuntu", stolen)
        assert opens(host, "rita", stolen)
    finally:
        host.run(f"cd {CHECKOUT} && git checkout -q keys/rita")
        manage(host)


# ---- whom it refuses


def test_the_last_one_who_could_look_after_the_host(host):
    with out(host, "grace"):
        done = backend(host, "people revoke ada --why no")
        refused(done, "no developer is on the roster")
        key = fingerprint(host, "ada")
        refused(backend(host, f"people revoke {key} --why no"), "nobody would be able")
        assert opens(host, "ada", host.people["ada"].key)


def test_yourself(host):
    ada = host.people["ada"].key
    done = ssh(host, "ada", ada, "sudo backend people revoke ada --why tired")
    assert done.returncode == 2
    assert "ada, who runs this" in done.stderr
    assert opens(host, "ada", ada)


@pytest.mark.parametrize(
    ("subject", "why"),
    [
        ("nobody", "is no account of ours"),
        ("ubuntu", "is no account of ours"),
        ("opensafely", "is no account of ours"),
        ("SHA256:short", "is no fingerprint"),
        ("'$(id)'", "is no account of ours"),
    ],
)
def test_whoever_is_not_ours(host, subject, why):
    refused(backend(host, f"people revoke {subject} --why no"), why)
    refused(backend(host, f"people readmit {subject}"), "is not revoked")
    assert host.run("test -s /etc/opensafely/revoked", check=False).returncode


def test_a_reason_is_wanted(host):
    for why in ("", "--why ''", "--why ' '", r"--why $'a\nb'", r"--why $'\e[31m'"):
        assert backend(host, f"people revoke grace {why}").returncode == 2
    assert host.run("test -s /etc/opensafely/revoked", check=False).returncode


# ---- whatever else goes on


POINTS = [
    ("run", "chage"),
    ("write", f"{KEYS}/grace"),  # looked at and about to be given
    ("run", "gpasswd"),
    ("mark_pending", "UnitFile /etc/systemd/system/opensafely-modes.timer"),
]


@pytest.mark.parametrize(
    ("method", "word"), POINTS, ids=["expiry", "keys", "groups", "later"]
)
def test_a_run_that_was_stopped_lets_nobody_back_in(host, method, word):
    """Stopped between gathering and giving, revoked, and gone on with: the door stays shut."""
    host.run(
        f"chage -E 5 grace; rm {KEYS}/grace; gpasswd -d grace developers; "
        "echo '# x' >>/etc/systemd/system/opensafely-modes.timer"
    )
    host.write("/root/stopped.py", STOPPED.read_text())
    entry = f"{CHECKOUT}/backend_server/entry.py"
    argv = (
        "/usr/bin/python3",
        "-B",
        "/root/stopped.py",
        method,
        word,
        entry,
        CHECKOUT,
        "test",
    )
    try:
        with in_background(host, *argv) as run:
            while "stopping" not in run.line():
                pass
            began = time.monotonic()
            with out_now(host, "grace"):
                assert (
                    time.monotonic() - began < 10
                )  # not behind the run, which would be for ever
                host.run(f"kill -CONT {run.pid} $(pgrep -P {run.pid})")
                said = run.end()
                assert run.process.returncode == 0, said
                assert host.run(f"test -e {KEYS}/grace", check=False).returncode
                assert not opens(host, "grace", host.people["grace"].key)
                assert "grace" not in people_of(host, "developers")
                expiry = host.run("getent shadow grace").stdout.split(":")[7]
                assert expiry == "0"
    finally:
        assert manage(host).returncode == 0
    assert opens(host, "grace", host.people["grace"].key)


@contextlib.contextmanager
def out_now(host, subject):
    done = backend(host, f"people revoke {subject} --why hurry")
    assert done.returncode == 0, done.stdout + done.stderr
    yield
    assert backend(host, f"people readmit {subject}").returncode == 0


def test_with_no_network(host):
    host.unplug()
    try:
        done = backend(host, "people revoke grace --why unplugged")
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        host.plug()
    assert not opens(host, "grace", host.people["grace"].key)
    backend(host, "people readmit grace")
    assert manage(host).returncode == 0
    assert opens(host, "grace", host.people["grace"].key)


def test_a_full_disk(host):
    """Out at once all the same; that nothing remembers it is said."""
    place = "/etc/opensafely"
    host.run(f"cp -a {place} /root/; mount -t tmpfs -o size=16k none {place}")
    host.run(
        f"cp -a /root/opensafely/backend {place}; head -c 1M /dev/zero >{place}/f",
        check=False,
    )
    try:
        done = backend(host, "people revoke grace --why full")
        assert done.returncode == 1, done.stdout
        assert "Traceback" not in done.stderr
        assert "could not be written down (No space left on device)" in done.stderr
        assert not opens(host, "grace", host.people["grace"].key)
    finally:
        host.run(f"umount {place}; rm -r /root/opensafely")
    assert manage(host).returncode == 0
    assert opens(host, "grace", host.people["grace"].key)


def test_a_list_that_was_broken_by_hand(host):
    """Nobody knows who is shut out then: nothing is given to anybody."""
    host.write("/etc/opensafely/revoked", "grace\n")
    try:
        refused(manage(host), "line 1 of /etc/opensafely/revoked cannot be read")
    finally:
        host.run("rm /etc/opensafely/revoked")
    assert manage(host).returncode == 0


# ---- a line that is cut, and a process that dies


@contextlib.contextmanager
def at_work(host, name):
    """A session of theirs is open; afterwards everything is as declared again."""
    with desk(host, name, "sleep 600") as session:
        wait_until(lambda: host.run(f"pgrep -u {name} sleep", check=False).stdout)
        try:
            yield session
        finally:
            backend(host, f"people readmit {name}")
            assert manage(host).returncode == 0


def is_out(host, name):
    assert not host.run(f"pgrep -u {name}", check=False).stdout
    assert not opens(host, name, host.people[name].key)
    return name not in people_of(host, "researchers")


def of(host, name, since):
    """What the history says of them, or of nobody by name."""
    said = [line for line in history(host)[since:] if "event" in line]
    return [line for line in said if line.get("subject", name) == name]


GONE = "people revoke rita --why gone"


def stopped(host, terminal):
    """Where the tool has stopped itself; None where it has ended."""
    ended = terminal.process.poll
    wait_until(lambda: ended() is not None or cutting.stopped_at(host), 60)
    return cutting.stopped_at(host)


@pytest.fixture(scope="module")
def steps(host):
    cutting.prepare(host)
    host.run(cutting.line(0, f"test {GONE}"))
    backend(host, "people readmit rita")
    assert manage(host).returncode == 0
    return cutting.steps(host)


def test_it_goes_on_without_its_line(host, steps):
    """Over ssh, through sudo: as whoever revokes somebody from a train."""
    cutting.prepare(host)
    since = len(history(host))
    line = "sudo " + cutting.line(steps // 2, f"test {GONE}")
    argv = host.ssh_argv("ada", host.people["ada"].key, line)
    with at_work(host, "rita") as session:
        with talking([argv[0], "-tt", *argv[1:]]) as terminal:
            found = stopped(host, terminal)
            assert found
            terminal.process.kill()
            terminal.process.wait()
        wait_until(lambda: not host.run("pgrep -u ada sshd", check=False).stdout)
        host.run(f"kill -CONT {found.pid}", check=False)
        wait_until(lambda: not cutting.works(host), 60)
        assert session.end() != 0
        assert is_out(host, "rita")
        began, ended = of(host, "rita", since)
        assert (began["event"], ended["event"]) == ("revoking", "revoked")
        assert (ended["who"], ended["why"]) == ("ada", "gone")


MOMENTS = range(1, 13)
ONE = random.Random(commit()).choice(MOMENTS[2:])


@pytest.mark.parametrize(
    "moment",
    [pytest.param(m, marks=() if m == ONE else pytest.mark.long) for m in MOMENTS],
)
def test_killed_at_any_step_the_rest_is_done_at_once(host, steps, moment):
    """Or it never began; no timer has to come."""
    cutting.prepare(host)
    since = len(history(host))
    with at_work(host, "rita") as session:
        line = cutting.line(steps * moment // (len(MOMENTS) + 1), f"test {GONE}")
        with on_terminal(host, line) as terminal:
            found = stopped(host, terminal)
            assert found
            listed = host.run("grep -c rita /etc/opensafely/revoked", check=False)
            under_way = json.loads(backend(host, "status --json").stdout)["under_way"]
            # The last steps write down what has been done.
            done = not under_way and is_out(host, "rita")
            host.run(f"kill -9 {found.pid}")
            terminal.end()
        wait_until(lambda: not cutting.works(host), 60)
        if listed.returncode:
            assert opens(host, "rita", host.people["rita"].key)
            return
        assert done or under_way[0].startswith("people revoke rita by root, since 2")
        assert session.end() != 0
        assert is_out(host, "rita")
        began, *_ = of(host, "rita", since)
        assert (began["event"], began["why"]) == ("revoking", "gone")


def test_readmitted_is_written_down_before_it_is_so(host):
    since = len(history(host))
    assert backend(host, GONE).returncode == 0
    cutting.prepare(host)
    host.run(cutting.line(0, "test people readmit rita"))
    number = cutting.steps(host)
    try:
        for step in (number // 3, number * 2 // 3, number - 1):
            assert backend(host, GONE).returncode == 0
            cutting.prepare(host)
            line = cutting.line(step, "test people readmit rita")
            with on_terminal(host, line) as terminal:
                found = stopped(host, terminal)
                host.run(f"kill -9 {found.pid}")
                terminal.end()
            listed = host.run("grep -c rita /etc/opensafely/revoked", check=False)
            last = [line["event"] for line in of(host, "rita", since)][-1]
            assert last == "readmitted" or listed.returncode == 0, step
    finally:
        backend(host, "people readmit rita")
        assert manage(host).returncode == 0
