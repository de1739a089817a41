"""Standard output and error, that take all that is written to them, wherever it goes."""

from __future__ import annotations

import io
import os
import re
import sys
import time
from typing import Any, Callable

from backend_server.engine.report import printable


# Of what is written at once: ends of lines, the colour of one that is painted from its first
# to its last, and the end of what a run shows itself at.
_OURS = re.compile("(\n|^\033\\[[0-9;]+m(?=.*\033\\[0m$)|\033\\[0m$|^\r\033\\[K$)")


# Of what is kept: for which descriptor, in a byte that `printable` leaves in no text, and that.
_KEPT = re.compile(b"([\1\2]?)([^\1\2]*)")


class Stream(io.FileIO):
    """A descriptor. What it does not take is lost, and of standard output `lost` says why."""

    lost = ""
    # Takes it instead, of both, and waits for no terminal.
    journal: io.FileIO | None = None

    def write(self, data: Any) -> int:
        try:
            if Stream.journal:
                return Stream.journal.write(bytes([self.fileno()]) + data) - 1
            return super().write(data)
        except OSError as error:
            if self.fileno() == 1:
                Stream.lost = str(error.strerror)
            return len(data)


def show(journal: int, over: Callable[[], object]) -> None:
    """What is written to that journal, as it comes, until it is OVER."""
    at, to = 0, sys.stdout
    while True:
        ended = over()  # first, so that no word comes after the last look
        data = os.pread(journal, 1 << 20, at)
        at += len(data)
        for fd, text in _KEPT.findall(data):
            to = {b"": to, b"\1": sys.stdout, b"\2": sys.stderr}[fd]
            to.buffer.write(text)
            to.flush()
        if ended and not data:
            return
        time.sleep(0 if data else 0.05)


class Lines(io.TextIOWrapper):
    """Text that cannot drive the terminal it is shown on, whoever gave it to us."""

    def write(self, text: str) -> int:
        parts = _OURS.split(text)
        parts[::2] = map(printable, parts[::2])
        return super().write("".join(parts))


def lay() -> None:
    """Nobody need read what is printed, whatever the locale: no reason to leave a run half done."""
    sys.stdout, sys.stderr = (_text(fd) for fd in (1, 2))


def _text(fd: int) -> io.TextIOWrapper:
    buffer = io.BufferedWriter(Stream(fd, "w", closefd=False))
    return Lines(buffer, "utf-8", "backslashreplace", line_buffering=True)
