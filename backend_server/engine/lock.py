"""One run at a time on a host."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import Iterator

from backend_server.host import command
from backend_server.host.folder import descriptor
from backend_server.text.errors import CommandFailed, Refused


class Busy(Refused):
    """Another run is under way."""


LOCK = "/run/opensafely/lock"
_PATIENCE_S = 60
# The timers', and soon over.
NARROW = "people narrow"
TIDY = "host tidy"


@contextlib.contextmanager
def only_run(holder: str, path: str = LOCK, *, wait: bool = False) -> Iterator[None]:
    """No other run is under way while this lasts, even when this one is killed.

    The kernel gives the lock back, so there is none to be left over. Root's alone to open:
    whoever could read it could hold it for ever. HOLDER says who holds
    it and since when, for whoever is Refused; with `wait`, and for the timers', its end is
    waited for instead.
    """
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    with descriptor(path, os.O_RDWR | os.O_CREAT) as fd:
        began = time.monotonic()
        while not _taken(fd, wait):
            other = Path(path).read_text("utf-8").strip()
            # Whoever only looks whether it is free has it for a moment.
            soon = _PATIENCE_S if other.startswith((NARROW, TIDY)) else 0.5
            if time.monotonic() > began + soon:
                raise Busy(
                    f"another run is under way: {other}",
                    hint="wait for it to end, then run this again",
                )
            time.sleep(0.1)
        with contextlib.suppress(OSError):  # /run may be full
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{holder}\n".encode(), 0)
        yield


def under_way(path: str) -> str:
    """Who holds it now, and since when; empty where nobody does."""
    with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read().strip() or "a run that has just begun"
    return ""


@contextlib.contextmanager
def then_starts(unit: str, path: str = LOCK) -> Iterator[None]:
    """systemd starts UNIT once this lock is free, however whoever holds it ended.

    It is told meanwhile, and whoever dies now has told it. Raises CommandFailed where it was not
    told, or the bus does not answer within 20 s: others may hold its places.
    """
    argv = (
        *("systemd-run", "--quiet", "--collect", "--no-block"),
        f"--unit=opensafely-watch-{time.monotonic_ns()}",
        f"--property=ExecStartPre=/usr/bin/flock {path} true",
        *("--property=TimeoutStartSec=infinity", "--property=Restart=on-failure"),
        *("--property=RestartSec=60", "systemctl", "start", unit),
    )
    failed: CommandFailed | None = None
    try:
        process = command.start(argv)
    except CommandFailed as error:
        failed = error
    yield
    if failed:
        raise failed
    command.succeeded(argv, command.answer(process, deadline_s=20))


def _taken(fd: int, wait: bool) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True
