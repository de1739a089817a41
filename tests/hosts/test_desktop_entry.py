"""Who gets onto the remote desktop of reviewers: passwords, locks, and sessions, with a real client."""

from __future__ import annotations

import pytest

from tests.hosts.desktops import (
    OTHER,
    PASSWORD,
    as_gus,
    end_all,
    host_with_desktop,
    sessions_of,
)
from tests.hosts.managing import history, manage, refused, rests, untouched
from tests.hosts.programs import on_terminal
from tests.hosts.remote import judged


pytestmark = pytest.mark.share("desktop")


@pytest.fixture(scope="module")
def host(shared_warm_host):
    return host_with_desktop(shared_warm_host)


def test_sessions_are_counted_come_back_to_and_ended(host):
    first = sessions_of(host)
    assert len(first) == 1
    assert "desktop     1 open" in host.run("backend status", check=False).stdout
    assert judged(host, "gus", PASSWORD)
    assert sessions_of(host) == first, "the same session again"
    end_all(host)
    assert host.run("pgrep -u gus", check=False).stdout == ""
    ended = history(host)[-1]
    assert (ended["event"], ended["subject"]) == ("session ended", "gus")
    assert judged(host, "gus", PASSWORD)
    end_all(host)


@pytest.mark.parametrize(
    ("who", "password", "given", "back"),
    [
        ("gus", "wrong", "", ""),
        ("gus", "", "", ""),
        ("rita", OTHER, "", ""),
        ("ada", OTHER, "", ""),
        ("root", OTHER, "", ""),
        ("gus", PASSWORD, "chage -E 2020-01-01 gus", "chage -E -1 gus"),
        ("gus", PASSWORD, "usermod -L gus", "usermod -U gus"),
        ("gus", PASSWORD, "gpasswd -d gus reviewers", "gpasswd -a gus reviewers"),
    ],
    ids=[
        "wrong",
        "empty",
        "researcher",
        "developer",
        "root",
        "expired",
        "locked",
        "off the group",
    ],
)
def test_nobody_else_gets_in(host, who, password, given, back):
    host.run(given or "true")
    try:
        assert not judged(host, who, password)
    finally:
        host.run(f"{back or 'true'}; faillock --user gus --reset")


def test_a_missing_group_is_not_everyone(host):
    host.run("groupmod -n elsewhere reviewers")
    try:
        assert not judged(host, "gus", PASSWORD)
        assert not judged(host, "rita", OTHER)
    finally:
        host.run("groupmod -n reviewers elsewhere; faillock --user gus --reset")
    assert judged(host, "gus", PASSWORD)
    end_all(host)


def test_guessing_locks_passwords_and_not_keys(host):
    """For ten minutes; nobody can lock a developer from the login screen, nor root at all."""
    check = "xrdp-sesrun -s ::1 -p {} {} 2>&1"
    for name in ("gus", "ada"):
        for _ in range(6):
            host.run(check.format("wrong", name), check=False)
    assert not judged(host, "gus", PASSWORD)
    found = host.run(
        "faillock --user gus; faillock --user ada; faillock --user root"
    ).stdout
    assert found.count(" V") >= 5
    assert found.partition("ada:")[2].count(" V") == 0
    key = host.people["ada"].key
    assert host.ssh("ada", key, "id -un").stdout == "ada\n"
    host.run("faillock --user gus --reset")
    assert judged(host, "gus", PASSWORD)
    end_all(host)


def test_wrong_passwords_for_sudo_lock_sudo_and_not_the_login(host):
    key = host.people["ada"].key
    asks = "sudo -k; sudo -S -p '' id -un"
    for _ in range(6):
        host.ssh("ada", key, asks, False, "wrong\n")
    assert host.ssh("ada", key, asks, False, f"{OTHER}\n").stdout == ""
    host.run("faillock --user ada --reset")
    assert host.ssh("ada", key, asks, False, f"{OTHER}\n").stdout == "root\n"


# ---- passwords


def test_a_password_is_made_shown_once_and_kept_by_later_runs(host):
    with on_terminal(host, "backend people password gus") as terminal:
        assert terminal.end() == 0
    (line,) = [x for x in terminal.seen.splitlines() if x.startswith("    ")]
    made = line.strip()
    everywhere = host.run(
        f"grep -rlF -e {made} /var/log /etc /var/lib/opensafely /run/log 2>/dev/null; "
        f"journalctl --no-pager | grep -cF -e {made}",
        check=False,
    ).stdout
    assert everywhere == "0\n"
    event = history(host)[-1]
    assert (event["event"], event["subject"], event["who"]) == (
        "password given",
        "gus",
        "root",
    )
    assert made not in str(event)
    before = host.run("getent shadow gus").stdout
    assert rests(host, "emis", words="--offline")
    assert host.run("getent shadow gus").stdout == before
    assert not judged(host, "gus", PASSWORD)
    host.run("faillock --user gus --reset")
    assert judged(host, "gus", made)
    end_all(host)


@pytest.mark.parametrize(
    "weak", ["short7+A", "nocapitals7+here_at_all", "NoDigits+Here_At-All"]
)
def test_weak_passwords_are_refused(host, weak):
    before = host.run("getent shadow gus").stdout
    done = host.run("backend people password --ask gus", check=False, stdin=f"{weak}\n")
    assert (done.returncode, "BAD PASSWORD" in done.stderr) == (1, True)
    assert host.run("getent shadow gus").stdout == before


def test_the_reminder_goes_with_a_password_of_ones_own(host):
    host.run("backend people password --ask gus", stdin=f"{PASSWORD}\n")
    remind = as_gus("HOME=/home/gus /etc/xdg/opensafely/remind")
    assert "Somebody else knows your password" in host.run(remind).stdout
    with on_terminal(
        host, as_gus("HOME=/home/gus /etc/xdg/opensafely/change-password")
    ) as own:
        own.until("urrent password:")
        own.type(f"{PASSWORD}\n")
        own.until("New password:")
        own.type("weak\n")
        own.until("BAD PASSWORD")
        own.type("Plum7-Kettle_Orbit\n")
        own.until("etype new password:")
        own.type("Plum7-Kettle_Orbit\n")
        own.until("Press Enter")
        own.type("\n")
        own.end()
    assert host.run(remind).stdout == ""
    host.run("chage -E $(date -u -d '10 days' +%F) gus")
    assert "Your access ends in 10 days" in host.run(remind).stdout
    host.run("chage -E -1 gus")


@pytest.mark.parametrize(
    ("words", "why"),
    [("ada", "ada may use sudo"), ("rita", "no reviewer"), ("root", "no reviewer")],
)
def test_who_is_given_none(host, words, why):
    with untouched(host):
        refused(host.run(f"backend people password {words}", check=False), why)


def test_a_leaver_is_out(host):
    """With the session they had open, and the password."""
    host.run("backend people password --ask gus", stdin=f"{PASSWORD}\n")
    assert judged(host, "gus", PASSWORD)
    host.run("sed -i /^gus/d /srv/backend-server/emis/reviewers")
    assert manage(host, "--yes --offline", backend="emis").returncode in (0, 4)
    assert host.run("pgrep -u gus", check=False).stdout == ""
    assert host.run("getent shadow gus").stdout.split(":")[1] == "!"
    assert not judged(host, "gus", PASSWORD)
    elements = host.run("nft list set inet opensafely reviewers").stdout
    assert "elements" not in elements
