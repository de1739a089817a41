"""One desktop is nobody else's: two reviewers are on it, a researcher and a developer on ssh.

Each tries what tests/hosts/desktop/neighbour.py has; who gets at what stands in docs/access.md.
"""

from __future__ import annotations

import contextlib
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from backend_server.text.releases import named
from tests.hosts.desktop import exits
from tests.hosts.desktop.desktops import (
    BACKGROUND,
    PASSWORD,
    end_all,
    host_with_desktop,
    in_session,
    session,
)
from tests.hosts.desktop.exits import PLACE, PYTHON, desktop
from tests.hosts.desktop.touched import OWNER, PARTS, touched
from tests.hosts.managing import rests
from tests.hosts.programs import wait_until
from tests.sampling import one_of


pytestmark = pytest.mark.share("doors")

SCRIPT = f"{PYTHON} {PLACE}/neighbour.py"
BESIDE = "setpriv --reuid {0} --regid {0} --init-groups -- env HOME=/home/{0}"


class People:
    """Who is on the host, and how they run something there, as the host's root starts it."""

    def __init__(self, host):
        self.host = host

    def run(self, role, words):
        host = self.host
        if role in ("developer", "researcher"):
            name = {"developer": "ada", "researcher": "rita"}[role]
            return host.ssh(name, host.people[name].key, words).stdout
        if role == "reviewer":
            return host.run(in_session(host, words)).stdout
        if role == OWNER:
            return host.run(in_session(host, words, "hank", "hank")).stdout
        return host.run(f"{BESIDE.format('gus')} {words}").stdout


@pytest.fixture(scope="module", params=one_of("walls", "bookworm", "trixie"))
def host(shared_warm_host, request):
    host = host_with_desktop(
        shared_warm_host, reviewers=("gus", "hank"), release=request.param
    )
    exits.bring(host)
    return host


@contextlib.contextmanager
def occupied(host):
    """Everybody has what the next displays need, as far as they can have it."""
    words = f"{SCRIPT} occupy 10 70"
    log = "/root/occupied"
    beside = " & ".join(
        f"{BESIDE.format(name)} {words} >>{log} 2>&1" for name in ("rita", "ada", "gus")
    )
    within = f"{in_session(host, words)} >>{log} 2>&1"
    host.run(f"{beside} & {within} &")
    said = f"grep -c occupied {log}"
    try:
        wait_until(lambda: host.run(said, check=False).stdout == "4\n", 60)
        yield
    finally:
        host.run(f"pkill -f '{PLACE}/neighbou[r].py occupy'", check=False)


def hanks(host):
    return desktop(host, PASSWORD, whose="hank")


@pytest.fixture(scope="module")
def both(host):
    """hank came last, while everybody did their worst to keep him out."""
    with desktop(host, PASSWORD), contextlib.ExitStack() as stack:
        with occupied(host):
            client = stack.enter_context(hanks(host))
            wait_until(lambda: client.shows(BACKGROUND), 60)
        yield host
    end_all(host)


def test_nobody_keeps_displays_from_others(both):
    """Nor has xrdp shown hank anything but a server of hank's; `status` finds nothing amiss."""
    uid = both.run("id -u hank").stdout.strip()
    log = both.run("journalctl -o cat --no-pager -t xrdp").stdout
    assert re.findall(r"X(?:11rdp|org)_uid=(\d+)", log)[-1] == uid
    said = both.run("backend status", check=False).stdout
    assert "last run " in said
    assert "no remote desktop" not in said


def test_one_desktop_is_nobody_elses(both):
    display = session(both, "hank")["DISPLAY"].lstrip(":").partition(".")[0]
    bus = session_bus(both)
    both.run(in_session(both, "touch /tmp/a /var/tmp/a /dev/shm/a", "hank", "hank"))
    people = People(both)
    release = named(both.tree.release)
    words = f"{SCRIPT} touch {display} hank '{bus}'"
    others = ("developer", "researcher", "reviewer", "beside")
    with ThreadPoolExecutor() as pool:
        found = dict(
            zip(others, pool.map(lambda each: people.run(each, words), others))
        )
    # Whoever speaks to the X server as xrdp does ends what it says to xrdp: the owner comes last.
    found[OWNER] = people.run(OWNER, words)
    for role, parts in found.items():
        assert set(json.loads(parts)) == touched(role, release), role
    assert touched(OWNER, release) >= set(PARTS) - {"picture"}


def session_bus(host):
    words = host.run(
        "cat /proc/$(pgrep -u hank -o -x xfce4-panel)/environ"
    ).stdout.split("\0")
    (bus,) = (w.partition("=")[2] for w in words if w.startswith("DBUS_SESSION_BUS_"))
    return bus


def test_a_session_leaves_nothing_behind(both):
    """Its files in the folders that are everybody's are gone with it."""
    both.run("backend people sessions hank --end")
    wait_until(lambda: not both.run("pgrep -u hank", check=False).stdout)
    found = "find /tmp /var/tmp /dev/shm -user hank"
    assert both.run(found).stdout == ""
    assert rests(both, "emis", words="--offline")
