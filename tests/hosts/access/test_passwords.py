"""Passwords for sudo that are chosen, taken back, and never set; and GitHub not heard of."""

from __future__ import annotations

import json

import pytest

from sandbox.fixtures import quiet_timer, ubuntu_user
from tests.hosts.doors import desk
from tests.hosts.managing import history, manage, refused, rests, untouched


pytestmark = pytest.mark.share("people")

FIRST = "Plum7-Kettle_Orbit"
SECOND = "Wagon4+Thimble=Fern"


@pytest.fixture(scope="module")
def host(shared_warm_host):
    host = shared_warm_host("emis", shape=[ubuntu_user, quiet_timer])
    assert manage(host, backend="emis").returncode == 0
    return host


def password_of(host, name):
    return host.run(f"getent shadow {name}").stdout.split(":")[1]


def choose(host, word):
    """Ada gives herself this password, on a terminal."""
    with desk(host, "ada", "sudo opensafely-password") as terminal:
        for question in ("New password for ada ", "Once more: "):
            terminal.until(question, timeout_s=20)
            terminal.type(f"{word}\n")
        status = terminal.end(timeout_s=30)
    assert (status, "ada has a password now" in terminal.seen) == (0, True)


def becomes_root(host, word):
    key = host.people["ada"].key
    done = host.ssh("ada", key, "sudo -k -S -p '' id -un", False, f"{word}\n")
    return done.stdout == "root\n"


def seen_at_login(host, name):
    with desk(host, name, "bash -lc true") as terminal:
        terminal.end()
    return terminal.seen


def last_event(host):
    line = history(host)[-1]
    return line["event"], line["subject"], line["who"]


# In this order: each goes on from where the one before ended.


def test_a_first_password_is_told(host):
    choose(host, FIRST)
    assert last_event(host) == ("first password", "ada", "ada")
    assert "ada has chosen a first password" in seen_at_login(host, "grace")
    assert "ada has chosen" not in seen_at_login(host, "rita")
    assert becomes_root(host, FIRST)


def test_taken_back(host):
    """Sudo asks for one that nobody knows, until there is another, as on the first day."""
    done = host.run("backend people password --reset ada")
    assert "sudo opensafely-password" in done.stdout
    assert password_of(host, "ada") == "!"
    assert last_event(host) == ("password reset", "ada", "root")
    assert "root took back the password of ada" in seen_at_login(host, "grace")
    assert not becomes_root(host, FIRST)
    assert rests(host, "emis")
    choose(host, SECOND)
    assert becomes_root(host, SECOND)
    assert not becomes_root(host, FIRST)
    assert [line.get("event") for line in history(host)].count("first password") == 2


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("ada", "ada may use sudo"),
        ("rita", "'rita' is no reviewer"),
        ("gus", "shown on a terminal, and nowhere else"),
        ("--reset nosuch", "'nosuch' is no account of ours"),
        ("--reset root", "'root' is no account of ours"),
        ("--reset ubuntu", "'ubuntu' is no account of ours"),
    ],
)
def test_whose_password_is_not_taken_back(host, words, why):
    with untouched(host):
        done = host.run(f"backend people password {words}", check=False)
        refused(done, why)


def status(host, exit_code):
    """What it says, to people and to programs."""
    plain, data = (host.run(f"backend status {x}", check=False) for x in ("", "--json"))
    assert (plain.returncode, data.returncode) == (exit_code, exit_code), plain.stderr
    return plain.stdout, json.loads(data.stdout)


def test_never_set(host):
    """After two weeks the others are to know: somebody cannot become root."""
    assert status(host, 0)[1]["without_password"] == []
    for days, shown in ((13, []), (14, ["grace"])):
        host.run(
            f"for name in ada grace rita; do "
            f"chage -d $(date -u -d '{days} days ago' +%F) $name; done"
        )
        text, data = status(host, 0)
        assert data["without_password"] == shown
        assert ("grace has set none for 14 days" in text) == bool(shown)
    lines = manage(host, "people list", backend="emis").stdout.splitlines()
    words = {line.split()[0]: line.partition("password ")[2] for line in lines}
    assert (words["ada"], words["grace"]) == ("set", "none yet")


def test_github_has_not_been_heard_for_a_week(host):
    record = "/var/lib/opensafely/github.json"
    manage(host, backend="emis")
    for days, red in ((6, False), (8, True)):
        host.run(
            f"""sed -i "s/\\(\\"seen\\": \\)\\"2[^\\"]*/\\1\\"$(date -u -d '{days} days ago' """
            f"""+%FT%TZ)/" {record}"""
        )
        text, data = status(host, 4 if red else 0)
        assert (
            "degraded    GitHub has not been heard about the keys of ada" in text
        ) == red
        assert len(data["degraded"]) == (4 if red else 0)
    assert manage(host, "--offline", backend="emis").returncode == 0
    status(host, 4)
    assert manage(host, backend="emis").returncode == 0
    status(host, 0)
