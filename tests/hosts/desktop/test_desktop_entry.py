"""Who gets onto the remote desktop of reviewers: passwords, codes, locks and sessions, with a real client."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import shlex
import struct
import time
from itertools import combinations
from urllib.parse import parse_qs, urlparse

import pytest

from tests.hosts.desktop.desktops import (
    OTHER,
    PASSWORD,
    as_gus,
    desktop_is_up,
    end_all,
    host_with_desktop,
    sessions_of,
)
from tests.hosts.desktop.remote import judged, let_in, looking
from tests.hosts.managing import history, manage, refused, rests, untouched
from tests.hosts.programs import on_terminal, wait_until


pytestmark = pytest.mark.share("desktop")

# Ten minutes ago or more, as far as faillock(8) remembers: records of 64 bytes, the time last.
LONG_AGO = """\
import struct, sys
text = open(sys.argv[1], "rb").read()
records = [text[at : at + 64] for at in range(0, len(text), 64)]
with open(sys.argv[1], "r+b") as file:
    for record in records:
        (when,) = struct.unpack("=Q", record[56:])
        file.write(record[:56] + struct.pack("=Q", when - 601))
"""


@pytest.fixture(scope="module")
def host(shared_warm_host):
    return host_with_desktop(shared_warm_host)


def forget_tries(host, name="gus"):
    host.run(f"faillock --user {name} --reset")


def tries(host, name):
    """How many wrong passwords of theirs count now."""
    return host.run(f"faillock --user {name}").stdout.count(" V\n")


def by_sudo(host, name, password, times=1):
    """What as many sudo's of somebody's say at once, who came by key."""
    one = f"echo {shlex.quote(password)} | sudo -k -S -p '' id -un 2>&1 &"
    key = host.people[name].key
    return host.ssh(name, key, f"{one * times} wait", check=False).stdout


def last_event(host):
    line = history(host)[-1]
    return line["event"], line["subject"], line["who"]


def traces(host, secret):
    """Where the host has a secret, but for the one file that is to have it."""
    places = "/var/log /etc /var/lib/opensafely /run/log /tmp /root"
    kept = "/var/lib/opensafely/second_factors"
    found = host.run(
        f"grep -rlF -e {shlex.quote(secret)} {places} 2>/dev/null | grep -v ^{kept}/; "
        f"journalctl --no-pager | grep -F -e {shlex.quote(secret)}",
        check=False,
    )
    return found.stdout


# ---- who gets in


def test_sessions_are_told_apart_come_back_to_and_ended(host):
    with looking(host, "gus", PASSWORD):
        wait_until(lambda: " connected" in "".join(sessions_of(host)))
    wait_until(lambda: " disconnected" in "".join(sessions_of(host)))
    (first,) = sessions_of(host)
    found = json.loads(host.run("backend people sessions --json").stdout)["sessions"]
    assert [(s["user"], s["connected"]) for s in found] == [("gus", False)]
    assert first.endswith(f"since {found[0]['since']}")
    age = time.time() - int(host.run(f"date +%s -d {found[0]['since']}").stdout)
    assert 0 <= age < 60
    assert "desktop     1 open" in host.run("backend status", check=False).stdout
    assert judged(host, "gus", PASSWORD)
    wait_until(lambda: sessions_of(host) == [first])
    assert "ended" in host.run("backend people sessions gus --end").stdout
    assert sessions_of(host) == []
    assert host.run("pgrep -u gus", check=False).stdout == ""
    assert last_event(host) == ("session ended", "gus", "root")


PROVIDERS = "/etc/security/limits.d/zzz-provider.conf"


def cores(host):
    """The limit of core files in a desktop that has just begun, and of what it starts."""
    with looking(host, "gus", PASSWORD):
        wait_until(lambda: desktop_is_up(host), 60)
        ask = "awk '/core file/ {{ print $6 }}' /proc/$(pgrep -o -u gus -x {})/limits"
        names = ("xfce4-session", "xfdesktop")
        found = {host.run(ask.format(name)).stdout.strip() for name in names}
    end_all(host)
    return found


def test_limits_of_a_session(host):
    """limits.conf(5) as reviewers get it; a provider's line is in force there, and is told."""
    host.write(PROVIDERS, "# vendor\n@reviewers - core unlimited\n")
    try:
        assert "unlimited" in cores(host)  # a real danger
        done = manage(host, "plan --offline --only kernel", backend="emis")
        assert (done.returncode, f"{PROVIDERS}:2:" in done.stdout) == (2, True)
        host.run(done.stdout.partition("try: ")[2].partition("\n")[0])
        assert cores(host) == {"0"}
    finally:
        host.run(f"rm {PROVIDERS}")


@pytest.mark.parametrize(
    ("who", "password"),
    [("gus", "wrong"), ("rita", OTHER), ("ada", OTHER)],
    ids=["wrong", "researcher", "developer"],
)
def test_nobody_else_gets_in(host, who, password):
    assert not judged(host, who, password)
    forget_tries(host)


@pytest.mark.parametrize(
    ("who", "password", "given", "back"),
    [
        ("gus", "", "true", "true"),
        ("root", OTHER, "true", "true"),
        ("gus", PASSWORD, "chage -E 2020-01-01 gus", "chage -E -1 gus"),
        ("gus", PASSWORD, "chage -d 0 gus", "chage -d $(date +%F) gus"),
        ("gus", PASSWORD, "usermod -L gus", "usermod -U gus"),
        ("gus", PASSWORD, "gpasswd -d gus reviewers", "gpasswd -a gus reviewers"),
    ],
    ids=["empty", "root", "expired", "to be changed", "locked", "off the group"],
)
def test_nor_like_this(host, who, password, given, back):
    host.run(given)
    try:
        assert not let_in(host, who, password)
    finally:
        host.run(back)
        forget_tries(host)


def test_a_missing_group_is_not_everyone(host):
    host.run("groupmod -n elsewhere reviewers")
    try:
        assert not let_in(host, "gus", PASSWORD)
        assert not let_in(host, "rita", OTHER)
    finally:
        host.run("groupmod -n reviewers elsewhere")
        forget_tries(host)
    assert let_in(host, "gus", PASSWORD)
    end_all(host)


# ---- guessing


def test_guessing_locks_for_ten_minutes_and_nobody_else(host):
    """Nobody can lock out a developer from the login screen; root is not even asked for."""
    for name in ("gus", "ada", "root"):
        for _ in range(6):
            assert not let_in(host, name, "wrong")
    assert [tries(host, name) for name in ("gus", "ada", "root")] == [5, 0, 0]
    assert not judged(host, "gus", PASSWORD)
    host.run(f"python3 - /run/faillock/gus <<'END'\n{LONG_AGO}\nEND")
    assert let_in(host, "gus", PASSWORD)
    assert tries(host, "gus") == 0, "a right one begins anew"
    end_all(host)


def test_sudo_locks_too_and_logins_by_key_do_not(host):
    assert "root" in by_sudo(host, "ada", OTHER)
    by_sudo(host, "ada", "wrong", times=6)
    assert "root" not in by_sudo(host, "ada", OTHER), "nor has a login cleared it"
    key = host.people["ada"].key
    assert host.ssh("ada", key, "id -un").stdout == "ada\n"
    forget_tries(host, "ada")
    assert "root" in by_sudo(host, "ada", OTHER)


def test_root_is_never_locked(host):
    """Of the console, and of su: as somebody who may use it."""
    su = "su -c 'id -un' root 2>&1"
    key = host.people["ada"].key
    tried = f"for n in 1 2 3 4 5 6; do echo wrong | {su} & done; wait"
    assert host.ssh("ada", key, tried).stdout.count("denied") == 6
    assert "root" in host.ssh("ada", key, f"echo {OTHER} | {su}").stdout


def test_a_run_that_is_killed_between_profiles_shuts_nobody_out(host):
    """Nor does it let anybody in, whichever of the three are laid; the next run lays all."""
    right, wrong = f"echo {OTHER} | sudo -k -S id -un", "echo wrong | sudo -k -S id -u"
    key = host.people["ada"].key
    profiles = {f"opensafely-{name}" for name in ("right", "locked", "wrong")}
    for laid in (set(some) for n in (1, 2) for some in combinations(profiles, n)):
        host.run(f"pam-auth-update --package --remove {' '.join(profiles - laid)}")
        said = host.ssh("ada", key, f"{right} & {wrong} & wait", check=False).stdout
        assert said == "root\n", f"with {laid} alone"
        host.run(f"pam-auth-update --package --enable {' '.join(profiles)}")
    host.run("pam-auth-update --package --remove opensafely-wrong opensafely-right")
    assert manage(host, "--offline", backend="emis").returncode in (0, 4)
    in_force = host.run("cat /etc/pam.d/common-auth").stdout
    assert in_force.count("pam_faillock.so") == len(profiles)
    forget_tries(host, "ada")


# ---- passwords


def test_a_password_is_made_shown_once_and_kept_by_later_runs(host):
    with on_terminal(host, "backend people password gus") as terminal:
        assert terminal.end() == 0
    (line,) = [x for x in terminal.seen.splitlines() if x.startswith("    ")]
    made = line.strip()
    assert traces(host, made) == ""
    assert traces(host, "gave gus a password"), "where it would have been found"
    assert last_event(host) == ("password given", "gus", "root")
    before = host.run("getent shadow gus").stdout
    assert rests(host, "emis", words="--offline")
    assert host.run("getent shadow gus").stdout == before
    assert not let_in(host, "gus", PASSWORD)
    assert judged(host, "gus", made)
    end_all(host)


def test_one_is_typed_at_a_prompt(host):
    """And wrong ones before it do not count any more."""
    for _ in range(2):
        assert not let_in(host, "gus", "wrong")
    for second, status in ((f"{PASSWORD}x", 2), (PASSWORD, 0)):
        with on_terminal(host, "backend people password --ask gus") as terminal:
            terminal.until("New password for gus ")
            terminal.type(f"{PASSWORD}\n")
            terminal.until("Once more: ")
            terminal.type(f"{second}\n")
            assert terminal.end() == status
        assert PASSWORD not in terminal.seen
        assert tries(host, "gus") == (2 if status else 0)
    assert let_in(host, "gus", PASSWORD)
    end_all(host)


@pytest.mark.parametrize("where", [">/tmp/seen", "| cat", "--json"])
def test_none_is_shown_but_on_a_terminal(host, where):
    with untouched(host), on_terminal(
        host, f"set -o pipefail; backend people password gus {where}"
    ) as terminal:
        assert terminal.end() == 2
    assert "shown on a terminal, and nowhere else" in terminal.seen


@pytest.mark.parametrize(
    "weak",
    ["short7+A", "nocapitals7+here_at_all", "NoDigits+Here_At-All", "Responsibility7+"],
)
def test_weak_passwords_are_refused(host, weak):
    before = host.run("getent shadow gus").stdout
    done = host.run("backend people password --ask gus", check=False, stdin=f"{weak}\n")
    assert (done.returncode, "BAD PASSWORD" in done.stderr) == (1, True)
    assert host.run("getent shadow gus").stdout == before


def test_the_reminder_goes_with_a_password_of_ones_own(host):
    """Chosen with the tool on the desktop, which takes no weak one either."""
    host.run("backend people password --ask gus", stdin=f"{PASSWORD}\n")
    remind = as_gus("HOME=/home/gus /etc/xdg/opensafely/remind")
    assert "Somebody else knows your password" in host.run(remind).stdout
    with on_terminal(
        host, as_gus("HOME=/home/gus /etc/xdg/opensafely/change-password")
    ) as own:
        own.until("urrent password:")
        own.type(f"{PASSWORD}\n")
        for times, weak in enumerate(("weak", "Responsibility7+"), start=1):
            own.until("New password:", times)
            own.type(f"{weak}\n")
            own.until("BAD PASSWORD", times)
        own.until("New password:", 3)
        own.type("Plum7-Kettle_Orbit\n")
        own.until("etype new password:")
        own.type("Plum7-Kettle_Orbit\n")
        own.until("Press Enter")
        own.type("\n")
        own.end()
    assert host.run(remind).stdout == ""
    assert let_in(host, "gus", "Plum7-Kettle_Orbit")
    end_all(host)


def test_an_end_of_access_is_announced(host):
    """Two weeks before, to its owner and to developers."""
    roster = "/srv/backend-server/emis/reviewers"
    remind = as_gus("HOME=/home/gus /etc/xdg/opensafely/remind")
    for days, told in ((16, False), (10, True)):
        host.run(
            f"day=$(date -u -d '{days} days' +%F); "
            f'sed -i "s/^gus.*/gus expires=$day/" {roster}; chage -E $day gus'
        )
        said = host.run("backend status", check=False).stdout
        assert ("ending      gus has no access any more from" in said) == told
        assert ("Your access ends in 10 days" in host.run(remind).stdout) == told
    assert (
        "gus              emis/reviewers:1 until 2"
        in host.run("backend people list").stdout
    )
    host.run(f"sed -i 's/^gus.*/gus/' {roster}; chage -E -1 gus")


@pytest.mark.parametrize("words", ["password", "totp"])
@pytest.mark.parametrize(
    ("name", "why"),
    [("ada", "ada may use sudo"), ("rita", "no reviewer"), ("root", "no reviewer")],
)
def test_who_is_given_none(host, words, name, why):
    if words == "totp":
        why = "emis asks nobody for a second factor"
    with untouched(host):
        refused(host.run(f"backend people {words} {name}", check=False), why)


# ---- a second factor; from here on it is asked for


def code(secret, at):
    """RFC 6238: six digits for the half minute that this second is in."""
    counter = struct.pack(">Q", int(at) // 30)
    made = hmac.new(base64.b32decode(secret), counter, hashlib.sha1).digest()
    start = made[-1] & 15
    (number,) = struct.unpack(">I", made[start : start + 4])
    return f"{(number & 0x7FFFFFFF) % 1_000_000:06}"


def test_a_second_factor(host):
    host.run("backend people password --ask gus", stdin=f"{PASSWORD}\n")
    backend = "/srv/backend-server/emis/backend.py"
    host.run(f"sed -i 's/^    rdp_address=/    second_factor=True,\\n&/' {backend}")
    assert manage(host, backend="emis").returncode in (0, 4)
    assert rests(host, "emis", words="--offline")
    none = "totp        gus has none and cannot log in: sudo backend people totp gus"
    assert none in host.run("backend status", check=False).stdout
    assert "second factor none yet" in host.run("backend people list").stdout
    assert not let_in(host, "gus", PASSWORD)

    refused(host.run("backend people totp gus", check=False), "shown on a terminal")
    refused(host.run("backend people totp ada", check=False), "is no reviewer")
    with on_terminal(host, "backend people totp gus") as terminal:
        assert terminal.end() == 0
    (uri,) = [x for x in terminal.seen.split() if x.startswith("otpauth://")]
    assert "\u2588" in terminal.seen, "a picture to read it from"
    assert urlparse(uri).path == "/OpenSAFELY%20emis:gus"
    (secret,) = parse_qs(urlparse(uri).query)["secret"]
    assert traces(host, secret) == ""
    kept = host.run("stat -c '%a %U' /var/lib/opensafely/second_factors{,/gus}").stdout
    assert kept == "700 root\n400 root\n"
    assert last_event(host) == ("second factor given", "gus", "root")
    assert none not in host.run("backend status", check=False).stdout

    forget_tries(host)
    now = time.time()
    before, this, after = (code(secret, now + late) for late in (-30, 0, 30))
    assert not let_in(host, "gus", f"wrong{before}")
    assert judged(host, "gus", PASSWORD + this)
    assert tries(host, "gus") == 0
    assert not let_in(host, "gus", PASSWORD + this), "each code holds once"
    assert not let_in(host, "gus", PASSWORD)
    assert tries(host, "gus") == 2, "wrong codes count as wrong passwords do"
    assert let_in(host, "gus", PASSWORD + after)
    assert tries(host, "gus") == 0
    end_all(host)
    assert rests(host, "emis", words="--offline")


def test_a_leaver_is_out(host):
    """With the session they had open, the password and the second factor.

    What their uid owns stays there, and it is without a network for ever.
    """
    host.run("sed -i /^gus/d /srv/backend-server/emis/reviewers")
    host.run(as_gus("sleep 600 >/dev/null 2>&1 &"))
    assert manage(host, "--yes --offline", backend="emis").returncode in (0, 4)
    assert host.run("pgrep -u gus", check=False).stdout == ""
    assert host.run("getent shadow gus").stdout.split(":")[1] == "!"
    assert host.run("ls /var/lib/opensafely/second_factors").stdout == ""
    elements = host.run("nft list set inet opensafely reviewers").stdout
    uid = host.run("id -u gus").stdout.strip()
    assert re.search(rf"\b{uid}\b", elements), elements
    assert not let_in(host, "gus", PASSWORD)
