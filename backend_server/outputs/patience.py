"""Work that may never come back, such as on a file system of a server that is gone.

A process that waits for such a server cannot always be killed, so nobody here waits for one.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from typing import Any, Callable, Iterator, NoReturn

from backend_server.text.errors import OutsideWorld, UserError


class Silent(OutsideWorld):
    """Nothing was heard, not even an error: something may still wait in the kernel."""


Emit = Callable[[Any], None]

_OUT = 1  # of the process that works: standard output
_LONGEST_S = 3600


def results(work: Callable[[Emit], None], silence_s: float) -> Iterator[Any]:
    """What WORK emits, one after the other, and None for other signs of life; it runs in a
    process of its own.

    Raises Silent where nothing was heard of it for so many seconds, or it has not ended in
    an hour; then it is killed. What it raises itself as UserError or OSError is raised
    here as OutsideWorld.
    """
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        _work(work, theirs)
    os.close(theirs)
    try:
        yield from _heard(ours, silence_s, time.monotonic() + _LONGEST_S)
    finally:
        os.close(ours)
        _end(child)


def _work(work: Callable[[Emit], None], out: int) -> NoReturn:
    """Whatever happens, this copy of the whole tool ends here."""
    try:
        os.dup2(out, _OUT)
        try:
            work(lambda result: _say(result=result))
            _say(end=True)
        except OSError as error:
            at = f" at {error.filename!a}" if error.filename else ""
            _say(why=f"{error.strerror}{at}")
        except UserError as error:
            _say(why=str(error))
    finally:
        if sys.exc_info()[0]:
            sys.excepthook(*sys.exc_info())
            sys.stderr.flush()
        os._exit(1)


def _say(**said: Any) -> None:
    os.write(_OUT, json.dumps(said).encode() + b"\n")


def alive() -> None:
    """For work that takes long over one result."""
    os.write(_OUT, b"\n")


def _heard(fd: int, silence_s: float, deadline: float) -> Iterator[Any]:
    for line in _lines(fd, silence_s):
        if time.monotonic() > deadline:
            raise Silent("no end in an hour")
        said = json.loads(line or b"{}")
        if "end" in said:
            return
        if "why" in said:
            raise OutsideWorld(said["why"])
        yield said.get("result")
    raise Silent("the push ended without a word")


def _lines(fd: int, silence_s: float) -> Iterator[bytes]:
    rest = b""
    while True:
        ready, _, _ = select.select([fd], [], [], silence_s)
        if not ready:
            raise Silent(f"no answer in {silence_s:g} s")
        data = os.read(fd, 1 << 16)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        yield from lines


def _end(child: int) -> None:
    """It is killed, and gone where the kernel lets go of it."""
    os.kill(child, signal.SIGKILL)
    deadline = time.monotonic() + 2
    while os.waitpid(child, os.WNOHANG) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.01)
