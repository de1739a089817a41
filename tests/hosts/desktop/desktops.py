"""A host with a remote desktop on it: its people's passwords, and what is open there."""

from __future__ import annotations

import contextlib
import os
import shlex
from pathlib import Path
from typing import Callable, Iterator, Sequence

from sandbox.checkout import PLACE
from sandbox.fixtures import quiet_timer
from sandbox.host import Host
from sandbox.people import write_roster
from tests.hosts.desktop import remote
from tests.hosts.managing import manage
from tests.hosts.programs import wait_until


PASSWORD = "Tamper7+Kettle_Orbit"
OTHER = "Wagon4+Thimble=Fern"
WORK = "/srv/medium_privacy/workspaces"
SHOTS = Path(os.environ.get("SCREENSHOTS", "/tmp/backend-screenshots"))
BACKGROUND = "#23384F"
CANARY = "canary7f3e9b"
_FIRST = "pgrep -o -x xfce4-session -u"


def host_with_desktop(
    warm_host: Callable[..., Host], reviewers: Sequence[str] = ("gus",), **shape: object
) -> Host:
    """As after a first run, with a password for each of its people."""
    remote.ensure_client()

    def list_reviewers(host: Host) -> None:
        write_roster(host.root / PLACE / "emis/reviewers", reviewers)

    host = warm_host("emis", shape=[quiet_timer, list_reviewers], **shape)
    # GitHub, which is not asked, would not know all of them.
    assert manage(host, "--yes --offline", backend="emis").returncode in (0, 4)
    host.run("chpasswd", stdin=f"ada:{OTHER}\nrita:{OTHER}\nroot:{OTHER}\n")
    for name in reviewers:
        host.run(f"backend people password --ask {name}", stdin=f"{PASSWORD}\n")
    wait_until(lambda: ":3389 " in host.run("ss -Hltn").stdout)
    return host


def sessions_of(host: Host, name: str = "gus") -> list[str]:
    lines = host.run("backend people sessions").stdout.splitlines()
    return [line for line in lines if line.split()[0] == name]


def end_all(host: Host) -> None:
    host.run("backend people sessions --end")
    assert sessions_of(host) == []


def as_gus(command: str) -> str:
    """A process of the reviewer's, which no session has: as from a crontab."""
    return (
        f"setpriv --reuid gus --regid gus --init-groups -- sh -c {shlex.quote(command)}"
    )


def session(host: Host, whose: str = "gus") -> dict[str, str]:
    """The environment that the programs of the open session have."""
    words = host.run(f"cat /proc/$({_FIRST} {whose})/environ").stdout.split("\0")
    return dict(word.split("=", 1) for word in words if word)


def in_session(
    host: Host, command: str, user: str = "gus", whose: str = "gus", inside: bool = True
) -> str:
    """A process with what somebody's desktop gives it, theirs or of another uid.

    Not `inside`, it has that where others are: what the desktop is walled off from.
    """
    env = " ".join(shlex.quote(f"{k}={v}") for k, v in session(host, whose).items())
    who = f"--reuid {user} --regid {whose} --init-groups"
    if user != whose:
        who = f"--reuid {user} --regid {user} --clear-groups"
    walls = f"nsenter -t $({_FIRST} {whose}) -m -n -i -- " if inside else ""
    return f"{walls}setpriv {who} -- env -i {env} sh -c {shlex.quote(command)}"


@contextlib.contextmanager
def fresh_desktop(host: Host, whose: str = "gus") -> Iterator[remote.Client]:
    """A client that looks at somebody's desktop, which has just come up; with it all end."""
    SHOTS.mkdir(exist_ok=True)
    with remote.looking(host, whose, PASSWORD) as client:
        wait_until(lambda: desktop_is_up(host, whose), 60)
        wait_until(lambda: client.shows(BACKGROUND), 30)
        # Windows are there, and drawn; then nothing changes any more.
        wait_until(client.still, 30)
        yield client
    end_all(host)


def desktop_is_up(host: Host, whose: str = "gus") -> bool:
    names = host.run(f"ps -u {whose} -o comm=", check=False).stdout.split()
    return {"xfdesktop", "xfce4-panel", "thunar"} <= {n.lower() for n in names}
