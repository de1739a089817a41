"""Hosts that outlive the run that made them, until they are removed by name."""

from __future__ import annotations

import time

from sandbox import cgroups, leftovers, uplink
from sandbox.errors import CannotRun
from sandbox.host import Host


MARK = "kept"


def keep(host: Host) -> None:
    """Whoever is asked to remove this host may do so, and its lab with it."""
    (host.lab.runtime / MARK).write_text(host.id)


def hosts() -> list[str]:
    """Names of kept hosts, as `remove` takes them."""
    marks = (uplink.RUNTIME / lab / MARK for lab in uplink.labs())
    return [mark.read_text() for mark in marks if mark.exists()]


def remove(name: str) -> None:
    """A kept host and its lab are gone."""
    if name not in hosts():
        there = ", ".join(hosts()) or "none"
        raise CannotRun(f"no kept host is called {name}; there are: {there}")
    lab = name[:4]
    for host in cgroups.hosts(lab):
        cgroups.kill(host)
    leftovers.stop_programs(lab)
    deadline = time.monotonic() + 10
    # Its programs held the lock, and it is free once the last of them has ended.
    lock = leftovers.try_lock(int(lab[2:]))
    while lock is None:
        if time.monotonic() > deadline:
            raise CannotRun(f"{lab} is still in use")
        time.sleep(0.05)
        lock = leftovers.try_lock(int(lab[2:]))
    with lock:
        leftovers.sweep(lab)
