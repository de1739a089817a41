"""Telling a person what takes so long."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType


class Step:
    """A line that counts seconds on a terminal, and is printed once elsewhere."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.terminal = sys.stderr.isatty()
        self.began = time.monotonic()
        self.done = threading.Event()
        self.ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Step:
        self.began = time.monotonic()
        if self.terminal:
            self.ticker.start()
        else:
            self._say(f"{self.title} …\n")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.done.set()
        if self.terminal:
            self.ticker.join()
            outcome = "failed" if error else f"{self.seconds:.1f} s"
            self._say(f"\r\033[K{self.title}: {outcome}\n")

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def _tick(self) -> None:
        while not self.done.wait(0.2):
            self._say(f"\r\033[K{self.title} … {self.seconds:.0f} s")

    def _say(self, text: str) -> None:
        # stderr: stdout belongs to what runs in the host.
        sys.stderr.write(text)
        sys.stderr.flush()
