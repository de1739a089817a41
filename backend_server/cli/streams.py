"""Standard output and error, that take all that is written to them, wherever it goes."""

from __future__ import annotations

import io
import re
import sys
from typing import Any

from backend_server.engine.report import printable


# Of what is written at once: ends of lines, the colour of one that is painted from its first
# to its last, and the end of what a run shows itself at.
_OURS = re.compile("(\n|^\033\\[[0-9;]+m(?=.*\033\\[0m$)|\033\\[0m$|^\r\033\\[K$)")


class Stream(io.FileIO):
    """A descriptor. What it does not take is lost, and of standard output `lost` says why."""

    lost = ""

    def write(self, data: Any) -> int:
        try:
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
