"""Numbers of labs, each held by a lock, and sweeping what nobody holds any more."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Iterator

from sandbox import cgroups, uplink
from sandbox.command import output, run
from sandbox.errors import CannotRun


LOCKS = Path("/run/lock")
LAST = LOCKS / "backend-sandbox-last"
SWEEPING = LOCKS / "backend-sandbox-sweeping"
MOST = 32


def lab_name(number: int) -> str:
    """Short and of one length: it starts the names of links, which end at 15 letters."""
    return f"sb{number:02d}"


def try_lock(number: int) -> IO[str] | None:
    """The lock of a lab, None while somebody holds it."""
    lock = (LOCKS / f"backend-sandbox-{number:02d}").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def take_number() -> tuple[int, IO[str]]:
    """A number nobody holds, with its lock, whose network is not somebody else's.

    The next one each time: whoever looks for what is left of a lab that has gone does not find
    another that began meanwhile.
    """
    last = LAST.read_text() if LAST.exists() else ""
    first = int(last) + 1 if last.isdigit() else 0
    for number in (one % MOST for one in range(first, first + MOST)):
        lock = try_lock(number)
        if lock and not output("ip", "route", "show", uplink.network(number)):
            LAST.write_text(str(number))
            return number, lock
        if lock:
            lock.close()
    raise CannotRun(f"all {MOST} labs of this machine are in use")


@contextmanager
def nobody_sweeps() -> Iterator[None]:
    """Labs whose run was killed stay as they are meanwhile."""
    with SWEEPING.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def sweep_dead() -> None:
    """Labs whose run was killed are gone; those in use are not touched."""
    with nobody_sweeps():
        for name in uplink.labs():
            lock = try_lock(int(name[2:]))
            if lock:
                with lock:
                    sweep(name)


def sweep(lab: str) -> None:
    """Nothing of a lab is left: hosts, programs, mounts, network, files.

    Its lock must be held.
    """
    for host in cgroups.hosts(lab):
        cgroups.kill(host)
    stop_programs(lab)
    for mounted in mounts(lab):
        run("umount", "--lazy", mounted)
        run("rm", "-rf", "--one-file-system", mounted.parent)
    for note in (uplink.RUNTIME / lab).glob("*.folder"):
        run("rm", "-rf", "--one-file-system", note.resolve())
    if (Path("/run/netns") / lab).exists():
        run("ip", "netns", "delete", lab)
    uplink.disconnect(lab)
    uplink.forward_no_more(lab)


def note(lab: str, folder: Path) -> None:
    """This folder goes with the lab: it holds no mount to find it by."""
    link = uplink.RUNTIME / lab / f"{folder.name}.folder"
    link.unlink(missing_ok=True)
    link.symlink_to(folder)


def stop_programs(lab: str) -> None:
    """Whatever still runs in the lab's network: the outside world's stand-ins."""
    deadline = time.monotonic() + 10
    while (Path("/run/netns") / lab).exists() and time.monotonic() < deadline:
        pids = run("ip", "netns", "pids", lab, check=False).stdout.split()
        if not pids:
            return
        for pid in map(int, pids):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)


def mounts(lab: str) -> list[Path]:
    """Roots of the lab's hosts, and its share, by the name that each mount carries as its source.

    A machine that is itself a host of some lab has such a mount at /, so the place
    counts too.
    """
    text = Path("/proc/self/mountinfo").read_text()
    line = rf"^(?:\S+ ){{4}}(\S+/run/({lab}[a-z0-9]+)/root) .* - overlay (\S+) "
    found = re.findall(line, text, re.M)
    roots = [Path(path) for path, name, source in reversed(found) if name == source]
    line = rf"^(?:\S+ ){{4}}(\S+/share/top) .* - tmpfs {lab}share "
    return roots + [Path(path) for path in re.findall(line, text, re.M)]
