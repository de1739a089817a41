"""Standard output and error, that take all that is written to them, wherever it goes."""

from __future__ import annotations

import io
import sys
from typing import Any


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


def lay() -> None:
    """Nobody need read what is printed, whatever the locale: no reason to leave a run half done."""
    sys.stdout, sys.stderr = (_text(fd) for fd in (1, 2))


def _text(fd: int) -> io.TextIOWrapper:
    buffer = io.BufferedWriter(Stream(fd, "w", closefd=False))
    return io.TextIOWrapper(buffer, "utf-8", "backslashreplace", line_buffering=True)
