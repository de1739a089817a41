"""What the tests do to a command that works in a host: stop it at some step, and cut its line."""

from __future__ import annotations

from typing import NamedTuple

from sandbox.host import Host
from tests.hosts.managing import CHECKOUT, KILLED


STATE = "/run/cut"
ENTRY = f"{CHECKOUT}/backend_server/entry.py {CHECKOUT}"


class Stopped(NamedTuple):
    """The process that stopped itself, and who waits for it, where it works by itself."""

    pid: str
    parent: str
    by_itself: bool

    @property
    def all(self) -> str:
        return f"{self.pid} {self.parent}" if self.by_itself else self.pid


def prepare(host: Host) -> None:
    host.run("cat > /root/killed.py", stdin=KILLED.read_text())
    host.run(f"rm -f {STATE}")


def line(number: int, words: str) -> str:
    """The tool, asked these words, that stops at that step; 0: that counts them."""
    return f"env STOPS=1 python3 -I -S /root/killed.py {number} {STATE} {ENTRY} {words}"


def stopped_at(host: Host) -> Stopped | None:
    """None while it has not come there, or where it has ended."""
    found = host.run(f"pid=$(cat {STATE}) && cat /proc/$pid/stat", check=False).stdout
    pid = found.split(" ")[0]
    state, parent, _, session, *_ = found.rpartition(")")[2].split() or [""] * 4
    return Stopped(pid, parent, session == pid) if state == "T" else None


def steps(host: Host) -> int:
    """How many it had, from its beginning to its end."""
    said, number = host.run(f"cat {STATE}").stdout.split()
    assert said == "ended"
    return int(number)


def goes_on(host: Host) -> bool:
    """Whether the tool works still, or somebody that watches over it: where it comes to its step
    only now, it does not stop there.
    """
    found = stopped_at(host)
    if found:
        host.run(f"kill -CONT {found.pid}", check=False)
    return works(host)


def works(host: Host) -> bool:
    """Whether the tool does, or somebody that watches over it."""
    working = host.run("pgrep -f '[e]ntry.py .* test'", check=False).stdout
    left = "systemctl list-units --all --no-legend 'opensafely-watch*'"
    return bool(working or host.run(left).stdout)
