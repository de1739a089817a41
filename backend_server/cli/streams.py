"""Standard output and error, that take all that is written to them, wherever it goes."""

from __future__ import annotations

import io
import os
import re
import struct
import sys
from typing import Any, Iterator

from backend_server.engine.report import printable


# Of what is written at once: ends of lines, the colour of one that is painted from its first
# to its last, and the end of what a run shows itself at.
_OURS = re.compile("(\n|^\033\\[[0-9;]+m(?=.*\033\\[0m$)|\033\\[0m$|^\r\033\\[K$)")


_HEAD = struct.Struct("II")  # of what is kept: for which descriptor, and how many bytes


class Journal:
    """What a process says, kept in memory until another shows it: so it waits for no terminal."""

    def __init__(self) -> None:
        self.file = os.memfd_create("said")
        self.hears, tells = os.pipe()
        os.set_blocking(tells, False)
        self._ends = [io.FileIO(fd, "w") for fd in (self.file, tells)]

    def keep(self, fd: int, data: bytes) -> int:
        for end, more in zip(self._ends, (_HEAD.pack(fd, len(data)) + data, b".")):
            end.write(more)  # who was told often enough takes no more
        return len(data)

    def show(self) -> None:
        """As it comes, to the end of whoever keeps it."""
        at, ended = 0, False
        while not ended:
            ended = not os.read(self.hears, 1 << 16)
            for fd, data in self._after(at):
                stream = (sys.stdout, sys.stderr)[fd - 1].buffer
                stream.write(data)
                stream.flush()
                at += _HEAD.size + len(data)

    def _after(self, at: int) -> Iterator[tuple[int, bytes]]:
        """What is whole by now."""
        while len(head := os.pread(self.file, _HEAD.size, at)) == _HEAD.size:
            fd, size = _HEAD.unpack(head)
            data = os.pread(self.file, size, at + _HEAD.size)
            if len(data) < size:
                return
            yield fd, data
            at += _HEAD.size + size


class Stream(io.FileIO):
    """A descriptor. What it does not take is lost, and of standard output `lost` says why."""

    lost = ""
    journal: Journal | None = None  # takes it instead, of both

    def write(self, data: Any) -> int:
        try:
            if Stream.journal:
                return Stream.journal.keep(self.fileno(), data)
            return super().write(data)
        except OSError as error:
            if self.fileno() == 1:
                Stream.lost = str(error.strerror)
            return len(data)


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
