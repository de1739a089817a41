"""Accounts that are here become ours, and new ones are closed from birth."""

from __future__ import annotations

import contextlib

import pytest

from sandbox.fixtures import ubuntu_user
from tests.hosts.doors import heals, lets_in, opens, stranger
from tests.hosts.managing import (
    CHECKOUT,
    edited,
    manage,
    people_of,
    refused,
    rests,
    untouched,
)
from tests.hosts.programs import in_background, on_terminal


pytestmark = pytest.mark.share("access")

NEW = ("alan", "barbara", "edsger")
# Not by KeyboardInterrupt: where it hits the end of a file's life, Python drops it.
EMPTY = """
import signal
found, rounds, told = set(), 0, []
signal.signal(signal.SIGINT, lambda *_: told.append("stop"))
print("looking", flush=True)
while not told:
    rounds += 1
    for line in open("/etc/shadow"):
        name, password = line.split(":")[:2]
        if not password:
            found.add(name)
print("rounds", rounds, "empty", sorted(found), flush=True)
"""


@pytest.fixture(scope="module")
def host(shared_warm_host):
    return shared_warm_host("emis", shape=[ubuntu_user])


@pytest.fixture(scope="module")
def linus(tmp_path_factory):
    """A key that is linus's, once he is on a roster."""
    return stranger(tmp_path_factory.mktemp("linus"))


@pytest.fixture(autouse=True)
def github(outside, linus):
    """It knows whomever these tests put on a roster, and their key."""
    for name in ("linus", *NEW):
        outside.github(name, linus.public_key)


# ---- accounts that are here already


@contextlib.contextmanager
def on_roster(host, *names, key=""):
    """They are developers too, with this key."""
    roster = host.read(f"{CHECKOUT}/developers")
    added = "".join(f"{name}\n" for name in names)
    with edited(host, f"{CHECKOUT}/developers", roster + added):
        for name in names if key else ():
            host.write(f"{CHECKOUT}/keys/{name}", f"{key}\n")
        try:
            yield
        finally:
            for name in names:
                host.run(f"rm -f {CHECKOUT}/keys/{name}")


@contextlib.contextmanager
def account(host, options="", name="linus"):
    host.run(f"useradd -m {options} {name}")
    try:
        yield
    finally:
        host.run(f"pkill -KILL -u {name}; userdel -rf {name}", check=False)
        assert manage(host, "--yes", backend="emis").returncode == 0


def test_adoption(host, linus):
    with account(host, "-G sudo,users"):
        host.run("echo 'linus:Plum7-Kettle_Orbit' | chpasswd")
        host.run("echo mine > /home/linus/file; chown linus /home/linus/file")
        shadow = host.run("getent shadow linus").stdout
        with on_roster(host, "linus", key=linus.public_key):
            with untouched(host):
                refused(manage(host, backend="emis"), "linus would be adopted", "--yes")
                done = manage(host, "plan", backend="emis")
            assert done.returncode == 3
            assert "User linus" in done.stdout
            assert "marker: absent -> opensafely-people" in done.stdout
            done = manage(host, "--yes", backend="emis")
            assert done.returncode == 0, done.stdout + done.stderr
            assert "linus" in people_of(host, "opensafely-people")
            assert "linus" in people_of(host, "developers")
            assert "linus" not in people_of(host, "sudo")
            assert host.run("stat -c '%U %s' /home/linus/file").stdout == "linus 5\n"
            assert host.run("stat -c %a /home/linus").stdout == "750\n"
            assert host.run("getent shadow linus").stdout == shadow
            assert opens(host, "linus", linus.key)
            assert manage(host, backend="emis").returncode == 0


@pytest.mark.parametrize(
    ("answer", "status"), [("yes", 0), ("no", 2), ("\x04", 2), ("", 2)]
)
def test_adoption_on_a_terminal(host, linus, answer, status):
    with account(host), on_roster(host, "linus", key=linus.public_key):
        with on_terminal(host, f"{CHECKOUT}/emis/manage.sh") as terminal:
            terminal.until("Type yes")
            terminal.type(answer if answer == "\x04" else f"{answer}\n")
            assert terminal.end(timeout_s=60) == status, terminal.seen
        assert "Traceback" not in terminal.seen
        assert ("linus" in people_of(host, "opensafely-people")) == (status == 0)


def test_a_name_that_looks_like_another_is_called_out(host, linus, outside):
    """By the run that makes the account too, for who applied without a plan."""
    outside.github("gracee")
    with on_roster(host, "gracee", key=linus.public_key):
        for words in ("plan", "apply"):
            done = manage(host, words, backend="emis")
            assert "note: gracee looks like grace, who has an account" in done.stdout
        assert "looks like" not in manage(host, backend="emis").stdout
    assert heals(host)
    host.run("userdel -r gracee")


def test_an_account_without_any_password(host, linus):
    """Adopted or not, nobody is to become it by an empty line."""
    with account(host):
        host.run("passwd -q -d linus")
        with on_roster(host, "linus", key=linus.public_key):
            done = manage(host, "--yes", backend="emis")
            assert "Traceback" not in done.stderr
            if done.returncode != 2:
                assert done.returncode == 0
                assert host.run("getent shadow linus").stdout.split(":")[1] != ""


def test_a_password_that_was_taken_away(host):
    """passwd -d on an account of ours: drift like any other."""
    host.run("passwd -q -d rita")
    done = manage(host, backend="emis")
    password = host.run("getent shadow rita").stdout.split(":")[1]
    host.run("usermod -p '!' rita")
    assert done.returncode == 2 or password


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("-r", "account of the system"),
        ("-d /home/other", "has its home at /home/other"),
        ("-g users", ""),
    ],
)
def test_an_account_that_is_not_adopted(host, linus, options, why):
    with account(host, options), on_roster(host, "linus", key=linus.public_key):
        done = manage(host, "--yes", backend="emis")
        if why:
            refused(done, why)
            assert "linus" not in people_of(host, "opensafely-people")
        assert "Traceback" not in done.stderr


# ---- accounts that are new


def test_no_account_has_an_empty_password_ever(host, linus):
    host.write("/opt/empty.py", EMPTY)
    try:
        sampling = in_background(host, "python3", "/opt/empty.py")
        with on_roster(host, *NEW, key=linus.public_key), sampling as sampler:
            assert sampler.line() == "looking\n"
            assert manage(host, backend="emis").returncode == 0
            host.run(f"kill -INT {sampler.pid}")
            said = sampler.end()
        assert said.endswith("empty []\n")
        assert int(said.split()[1]) > 100
        for name in NEW:
            assert host.run(f"getent shadow {name}").stdout.split(":")[1] == "!"
            assert opens(host, name, linus.key)
        assert manage(host, "--yes", backend="emis").returncode == 0
        assert rests(host, "emis")  # off the roster: no key, no group
        for name in NEW:
            assert not opens(host, name, linus.key)
            assert host.run(f"id -nG {name}").stdout.split() == [
                name,
                "opensafely-people",
            ]
    finally:
        gone = "pkill -KILL -u $name; userdel -rf $name"
        host.run(f"for name in {' '.join(NEW)}; do {gone}; done", check=False)
    assert lets_in(host, "ada", "rita")
