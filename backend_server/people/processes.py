"""Processes as the kernel has them, and ending all of one account."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from typing import Dict, Mapping, NamedTuple

from backend_server.host import Host, HostReader
from backend_server.text.errors import UserError


_DEADLINE_S = 10
_STATUS = re.compile(r"^(Name|State|PPid|Uid|Threads|ShdPnd):\t(.*)$", re.MULTILINE)


class Process(NamedTuple):
    """A process that can still do something, or will as soon as it is let."""

    pid: int
    parent: int
    name: str
    # Who it acts as in any way, and who logged in to start it, which sudo does not change.
    uids: frozenset[int]
    doomed: bool  # killed already: it gets no further than the kernel's own business


Processes = Dict[int, Process]


def running(host: HostReader) -> Processes:
    """Every process by its number; those that wait only for somebody to take note are left out."""
    found: Processes = {}
    for number in filter(str.isdigit, host.names("/proc")):
        with contextlib.suppress(ProcessLookupError):  # it ended while we read
            status = host.read(f"/proc/{number}/status") or ""
            login = host.read(f"/proc/{number}/loginuid") or ""
            fields = dict(_STATUS.findall(status))
            # Of a first thread that is gone while the others go on it says the same.
            if fields and (
                fields["State"][0] not in "ZX" or int(fields["Threads"]) > 1
            ):
                found[int(number)] = _process(int(number), fields, login)
    return found


def _process(pid: int, fields: Mapping[str, str], login: str) -> Process:
    return Process(
        pid=pid,
        parent=int(fields["PPid"]),
        name="".join(c if c.isprintable() else "?" for c in fields["Name"]),
        uids=frozenset(map(int, (*fields["Uid"].split(), *login.split()))),
        doomed=bool(int(fields["ShdPnd"], 16) >> (signal.SIGKILL - 1) & 1),
    )


def ours(found: Processes) -> Processes:
    """This run and what it was started from, which no run ends."""
    line: Processes = {}
    pid = os.getpid()
    while pid in found and pid not in line:
        line[pid] = found[pid]
        pid = found[pid].parent
    return line


def of(found: Processes, uid: int) -> list[Process]:
    """What an account runs, on whatever way it got there; never `ours`."""
    line = ours(found)
    return [p for p in found.values() if uid in p.uids and p.pid not in line]


def end(host: Host, uid: int) -> None:
    """Nothing of an account runs any more. Raises UserError naming what would not end."""
    deadline = time.monotonic() + _DEADLINE_S
    while True:
        found = running(host)
        left = of(found, uid)
        if not left:
            return
        if time.monotonic() > deadline:
            _give_up(host, left)
            return
        if not any(uid in process.uids for process in ours(found).values()):
            _kill_as(uid, found)
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        time.sleep(0.01)


def _kill_as(uid: int, found: Processes) -> None:
    """All that this uid may kill is killed, between two forks of whoever forks for ever.

    A child does it, as the kernel alone can hit all processes of an account at once. It is
    somebody whom they cannot stop before.
    """
    taken = frozenset().union(*(process.uids for process in found.values()))
    nobody = next(number for number in range(65533, 0, -1) if number not in taken)
    # No process may be free, until some have ended.
    with contextlib.suppress(BlockingIOError):
        child = os.fork()
        if child == 0:
            try:
                os.setresuid(nobody, uid, nobody)
                os.kill(-1, signal.SIGKILL)
            finally:
                os._exit(0)  # whatever happened: this is a copy of the whole tool
        os.waitpid(child, 0)


def _give_up(host: Host, left: list[Process]) -> None:
    named = ", ".join(sorted({process.name for process in left}))
    if all(process.doomed for process in left):
        host.say(f"killed, and will be gone when the kernel lets them: {named}")
        return
    hint = "run this again; if that does not help, reboot"
    raise UserError(f"after {_DEADLINE_S} s of killing there is still {named}", hint)
