"""What a long run is busy with, on a terminal."""

from __future__ import annotations

from typing import TextIO

from backend_server.engine.resource import Resource


class Progress:
    """One line that is overwritten, on a terminal; elsewhere only what is said lasts."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.shown = False

    def about_to(self, resource: Resource) -> None:
        if self.stream.isatty():
            self.clear()
            self.stream.write(f"... {resource}")
            self.stream.flush()
            self.shown = True

    def say(self, message: str) -> None:
        """A line that stays."""
        self.clear()
        self.stream.write(f"{message}\n")
        self.stream.flush()

    def clear(self) -> None:
        if self.shown:
            self.stream.write("\r\033[K")
            self.shown = False
