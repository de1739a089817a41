"""No run leaves a host that nobody can look after, or shuts out whoever runs it."""

from __future__ import annotations

import contextlib

import pytest

from sandbox.fixtures import ubuntu_user
from tests.hosts.doors import KEYS as IN_FORCE
from tests.hosts.doors import desk, opens, ssh
from tests.hosts.managing import (
    CHECKOUT,
    edited,
    manage,
    people_of,
    refused,
    rests,
    untouched,
)
from tests.hosts.programs import on_terminal


pytestmark = pytest.mark.share("people")

MANAGE = f"{CHECKOUT}/emis/manage.sh"
DEVELOPERS = f"{CHECKOUT}/developers"
KEYS = f"{CHECKOUT}/keys"
PASSWORD = "Plum7-Kettle_Orbit"


@pytest.fixture(scope="module")
def host(shared_warm_host):
    return shared_warm_host("emis", shape=[ubuntu_user])


def run(host, words=""):
    done = manage(host, words, backend="emis")
    assert done.returncode == 0, done.stdout + done.stderr
    return done


# ---- who remains


FORGET = "echo '{}' >/var/lib/opensafely/github.json"  # what GitHub said
NO_KEY = "ada has no key: none at GitHub was accepted here, none is in keys/ada"
LOCKED = "grace has a locked password: sudo backend people password --reset grace"
GUARDED = {
    "keys": (f"rm {KEYS}/ada {KEYS}/grace", "nobody", NO_KEY, "grace has no key"),
    "empty": (f": >{KEYS}/ada; echo '# none' >{KEYS}/grace", "nobody", NO_KEY),
    "locks": ("usermod -p '!$y$hash' grace; usermod -p '*' ada", "nobody", LOCKED),
    "mixed": (f"rm {KEYS}/ada; usermod -p '!$y$hash' grace", "nobody", NO_KEY, LOCKED),
    "one key": (f"rm {KEYS}/ada", "only grace", NO_KEY),
    "one lock": ("usermod -p '*' grace", "only ada", LOCKED),
    "roster": (f"echo linus >>{DEVELOPERS}; rm {KEYS}/ada {KEYS}/rita", "only grace"),
}
MEND = f"cd {CHECKOUT} && git checkout -q .; usermod -p '!' ada; usermod -p '!' grace"


@pytest.mark.parametrize("case", GUARDED)
def test_too_few_would_remain(host, case):
    """Whoever says yes: nothing but mending it answers this."""
    spoil, who, *whys = GUARDED[case]
    host.run(f"{FORGET}; {spoil}")
    try:
        with untouched(host):
            done = manage(host, "--offline --yes", backend="emis")
            refused(done, f"{who} would be able to log in and become root", *whys)
            assert "wanted 2" in done.stderr
            assert manage(host, "plan --offline", backend="emis").returncode == 2
    finally:
        host.run(MEND)
    run(host)


def test_an_account_that_is_expired_comes_back(host):
    host.run("chage -E 0 ada; chage -E 2020-01-01 grace")
    run(host)
    for name in ("ada", "grace"):
        assert opens(host, name, host.people[name].key)


def test_one_where_the_roster_has_one(host):
    """Removing one person asks nobody, whoever runs it."""
    with edited(host, DEVELOPERS, "ada\n"):
        run(host)
        assert people_of(host, "developers") == {"ada"}
        assert not opens(host, "grace", host.people["grace"].key)
        host.run("usermod -p '*' ada")
        with untouched(host):
            refused(manage(host, backend="emis"), "nobody would be able", "wanted 1")
    host.run(MEND)
    run(host)
    assert opens(host, "grace", host.people["grace"].key)


# ---- whose keys only GitHub has


@pytest.fixture
def only_at_github(host, outside):
    """As where accounts were here before: what GitHub shows waits for a yes."""
    for name in ("ada", "grace"):
        outside.github(name, host.people[name].public_key)
    host.run(f"{FORGET}; rm {KEYS}/ada {KEYS}/grace")
    yield
    outside.reset()
    # As if GitHub had never been heard of them.
    host.run(f"{MEND}; {FORGET}; rm {IN_FORCE}/ada {IN_FORCE}/grace")
    run(host)


def test_nobody_is_there_to_accept_them(host, only_at_github):
    with untouched(host):
        done = manage(host, "--yes", backend="emis")
        refused(done, "nobody would be able to log in", "ada has no key: SHA256:")
        assert "at GitHub waits for a yes, or --accept-keys" in done.stderr
        done = manage(host, "plan", backend="emis")
        assert done.returncode == 3, done.stdout + done.stderr
        assert "until a person accepts that (--accept-keys)" in done.stdout


@pytest.mark.parametrize(("answers", "status"), [(("no", "yes"), 2), (("yes",) * 2, 0)])
def test_they_are_accepted_on_a_terminal(host, only_at_github, answers, status):
    with on_terminal(host, MANAGE) as terminal:
        for name, answer in zip(("ada", "grace"), answers):
            terminal.until(f"Type yes if {name} told you so: ")
            terminal.type(f"{answer}\n")
        assert terminal.end(timeout_s=60) == status, terminal.seen
    if status:
        assert "only grace would be able to log in" in terminal.seen
    assert opens(host, "ada", host.people["ada"].key)


def test_they_are_accepted_by_an_option(host, only_at_github):
    assert "accepted" not in run(host, "--accept-keys").stdout
    assert opens(host, "ada", host.people["ada"].key)
    assert "@github" in host.read(f"{IN_FORCE}/ada")


def test_a_name_that_github_does_not_know_gets_no_account(host):
    with edited(host, DEVELOPERS, "ada\ngrace\nadda\n"):
        done = manage(host, backend="emis")
        assert done.returncode == 4, done.stdout + done.stderr
        said = (
            "adda is on a roster, and GitHub says that there is no such account (404)"
        )
        assert said in done.stdout
        assert host.run("id adda", check=False).returncode
    run(host)


def test_where_too_few_remain_it_is_named_too(host, only_at_github):
    with edited(host, DEVELOPERS, "ada\ngrace\nadda\n"), untouched(host):
        done = manage(host, backend="emis")
        refused(done, "adda has no account: GitHub says", "ada has no key: SHA256:")


# ---- whoever runs it


def test_yourself(host):
    """Over ssh, after taking oneself off the roster; the provider may, and then root."""
    ada, ubuntu = host.people["ada"].key, host.people["ubuntu"].key
    host.run("chpasswd", stdin=f"ada:{PASSWORD}\n")
    with edited(host, DEVELOPERS, "grace\n"):
        for words in ("", "--yes", "plan", "--only people"):
            with untouched(host):
                command = f"sudo -k -S -p '' {MANAGE} {words}"
                done = host.ssh("ada", ada, command, False, f"{PASSWORD}\n")
                refused(done, "ada, who runs this, would not be able to come back")
        assert opens(host, "ada", ada)
        done = ssh(host, "ubuntu", ubuntu, f"sudo -n {MANAGE}")
        assert done.returncode == 0, done.stdout + done.stderr
        assert not opens(host, "ada", ada)
    run(host)
    assert host.run("getent shadow ada").stdout.split(":")[1] == "!"


@contextlib.contextmanager
def stranger(host):
    """Somebody whom no roster knows logs in on a console, and may use sudo."""
    host.run("useradd -m mallory; gpasswd -a mallory users")
    rule = "mallory ALL=(ALL) NOPASSWD: ALL\n"
    host.write("/etc/sudoers.d/mallory", rule, 0o440)
    login = "systemd-run -q --pipe --wait -p PAMName=login -p User=mallory"
    try:
        yield login
    finally:
        host.run("rm /etc/sudoers.d/mallory; pkill -u mallory", check=False)
        host.run("while ! userdel -r mallory 2>/dev/null; do sleep 0.1; done")


def test_a_stranger_with_sudo(host):
    with stranger(host) as login:
        for words in ("", "--yes"):
            with untouched(host):
                done = host.run(f"{login} sudo -n {MANAGE} {words}", check=False)
                refused(done, "mallory, who runs this", "is no developer on a roster")
        run(host)  # on a console where nobody logged in


# ---- more than one at once


@pytest.fixture
def two_leave(host):
    host.run(f"cd {CHECKOUT}/emis && echo '# nobody' | tee researchers >reviewers")
    yield
    host.run(MEND)
    run(host)


def test_two_at_once_without_a_terminal(host, two_leave):
    with untouched(host):
        done = manage(host, backend="emis")
        refused(done, "gus, rita would all be cut off at once", "--yes")
    assert manage(host, "plan", backend="emis").returncode == 3
    assert opens(host, "rita", host.people["rita"].key)
    run(host, "--yes")
    assert not opens(host, "rita", host.people["rita"].key)
    assert rests(host, "emis")  # which asks nobody once they are out


@pytest.mark.parametrize(("answer", "status"), [("no", 2), ("\x04", 2), ("yes", 0)])
def test_two_at_once_on_a_terminal(host, two_leave, answer, status):
    with on_terminal(host, MANAGE) as terminal:
        terminal.until("Type yes if that is so: ")
        assert "gus, rita are on no roster any more" in terminal.seen
        terminal.type(answer if answer == "\x04" else f"{answer}\n")
        assert terminal.end(timeout_s=60) == status, terminal.seen
    assert ("rita" in people_of(host, "researchers")) == bool(status)


def test_two_at_once_by_somebody_who_stays(host, two_leave):
    """Over ssh -t, as people do."""
    host.run("chpasswd", stdin=f"ada:{PASSWORD}\n")
    with desk(host, "ada", f"sudo -k -p 'word: ' {MANAGE}") as terminal:
        terminal.until("word: ")
        terminal.type(f"{PASSWORD}\n")
        terminal.until("Type yes if that is so: ")
        terminal.type("yes\n")
        assert terminal.end(timeout_s=60) == 0, terminal.seen
    assert people_of(host, "researchers") == set()
