"""A host with a remote desktop on it: its people's passwords, and what is open there."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Callable

from sandbox.fixtures import quiet_timer
from sandbox.host import Host
from tests.hosts.desktop import remote
from tests.hosts.managing import manage


PASSWORD = "Tamper7+Kettle_Orbit"
OTHER = "Wagon4+Thimble=Fern"
WORK = "/srv/medium_privacy/workspaces"
SHOTS = Path(os.environ.get("SCREENSHOTS", "/tmp/backend-screenshots"))
CANARY = "canary7f3e9b"


def host_with_desktop(warm_host: Callable[..., Host], **shape: object) -> Host:
    """As after a first run, with a password for each of its people."""
    remote.ensure_client()
    host = warm_host("emis", shape=[quiet_timer], **shape)
    assert manage(host, backend="emis").returncode in (0, 4)
    host.run("chpasswd", stdin=f"ada:{OTHER}\nrita:{OTHER}\nroot:{OTHER}\n")
    host.run("backend people password --ask gus", stdin=f"{PASSWORD}\n")
    return host


def sessions_of(host: Host, name: str = "gus") -> list[str]:
    lines = host.run("backend people sessions").stdout.splitlines()
    return [line for line in lines if line.split()[0] == name]


def end_all(host: Host) -> None:
    host.run("backend people sessions --end")
    assert sessions_of(host) == []


def as_gus(command: str) -> str:
    """A process of the reviewer's, in the display of their session where it needs one."""
    inside = f"DISPLAY=:10 XAUTHORITY=/home/gus/.Xauthority {command}"
    return (
        f"setpriv --reuid gus --regid gus --init-groups -- sh -c {shlex.quote(inside)}"
    )


def desktop_is_up(host: Host) -> bool:
    names = host.run("ps -u gus -o comm=", check=False).stdout.split()
    return {"xfdesktop", "xfce4-panel", "thunar"} <= {n.lower() for n in names}
