"""Programs in a host that a test talks to, or leaves to go on meanwhile."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
import time
from typing import Callable, ContextManager, Iterator, Sequence

from sandbox.host import Host


LAST = 3000  # characters
# A first run on a machine with two cores and four hosts.
PATIENCE_S = 600


class Terminal:
    """A program that has a terminal, and somebody who types."""

    def __init__(self, argv: Sequence[str]) -> None:
        self.ours, theirs = pty.openpty()
        self.seen = ""
        self.process = subprocess.Popen(
            argv,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    def type(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def until(self, text: str, times: int = 1, timeout_s: float = PATIENCE_S) -> str:
        """All that was shown so far, once TEXT is part of it that many times."""
        deadline = time.monotonic() + timeout_s
        while self.seen.count(text) < times:
            # Its end is what tells why, and a report of failures has room for no more.
            late = f"no {text!r} in time in:\n{self.seen[-LAST:]}"
            assert self._says(max(0.0, deadline - time.monotonic())), late
            assert self._read(), f"ended without {text!r}:\n{self.seen[-LAST:]}"
        return self.seen

    def shows(self, text: str) -> bool:
        """Whether it has by now, without waiting for it."""
        while self._says(0) and self._read():
            pass
        return text in self.seen

    def end(self, timeout_s: float = PATIENCE_S) -> int:
        """The exit status; `seen` is then all that was shown."""
        while self._says(timeout_s) and self._read():
            pass
        return self.process.wait(timeout_s)

    def _says(self, timeout_s: float) -> bool:
        """Whether it says something, or ends, in that time."""
        return bool(select.select([self.ours], [], [], timeout_s)[0])

    def _read(self) -> bool:
        """What it says is seen; False once it has ended."""
        try:
            data = os.read(self.ours, 1 << 16)
        except OSError:  # a terminal that nobody has open any more
            data = b""
        self.seen += data.decode("utf-8", "replace").replace("\r\n", "\n")
        return bool(data)


def on_terminal(host: Host, command: str) -> ContextManager[Terminal]:
    """A program in the host."""
    return talking(host.machine.enter("bash", "-c", command))


@contextlib.contextmanager
def talking(argv: Sequence[str]) -> Iterator[Terminal]:
    terminal = Terminal(argv)
    try:
        yield terminal
    finally:
        os.close(terminal.ours)  # hangs up
        terminal.process.kill()
        terminal.process.wait()


class Background:
    """A program in the host that goes on meanwhile; it says what it says on one stream."""

    def __init__(self, host: Host, argv: tuple[str, ...]) -> None:
        # nsenter(1) stays between us and the program, which does not die with it.
        note = 'echo $$; exec "$@"'
        self.host = host
        self.process = subprocess.Popen(
            host.machine.enter("bash", "-c", note, "bash", *argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.pid = int(self.line())  # in the host

    def line(self, timeout_s: float = 60) -> str:
        """The next line it says, "" once it has ended."""
        assert self.process.stdout
        line, deadline = b"", time.monotonic() + timeout_s
        while not line.endswith(b"\n"):
            left = max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([self.process.stdout], [], [], left)
            assert ready, f"silent for {timeout_s:g} s after {line!r}"
            byte = os.read(self.process.stdout.fileno(), 1)
            if not byte:
                break
            line += byte
        return line.decode()

    def kill(self) -> None:
        """With what works for it, as a run that outlives its terminal."""
        self.host.run(f"kill -9 $(pgrep -P {self.pid}) {self.pid}", check=False)

    def end(self, timeout_s: float = 120) -> str:
        """What else it said; `process.returncode` is then its exit status."""
        return self.process.communicate(timeout=timeout_s)[0].decode()


@contextlib.contextmanager
def in_background(host: Host, *argv: str) -> Iterator[Background]:
    program = Background(host, argv)
    with program.process:
        try:
            yield program
        finally:
            program.kill()


def wait_until(question: Callable[[], object], timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not question():
        assert time.monotonic() < deadline, f"{question} did not come true in time"
        time.sleep(0.05)
