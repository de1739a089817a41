"""Packages that move only when somebody says so."""

from __future__ import annotations

from dataclasses import dataclass

from backend_server.change import Changes, compare
from backend_server.host import apt
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.resource import Resource


@dataclass(frozen=True)
class Held(Resource):
    """Those of these packages that are installed are on hold: no upgrade touches them.

    `packages` is the label of the resource that installs some of them.
    """

    list: str
    names: frozenset[str]
    packages: str = ""

    def check(self, host: HostReader) -> Changes:
        states = host.packages()
        there = {n for n in self.names if n in states and states[n].installed}
        held = frozenset(name for name in there if states[name].held)
        wanted = there | (self.names & self._coming(host))
        return compare(names=(held, frozenset(wanted)))

    def apply(self, host: Host, changes: Changes) -> None:
        apt.wait_for_locks(host)
        for change in changes:
            assert isinstance(change.after, frozenset)
            host.run("apt-mark", "hold", *sorted(change.after))

    def _coming(self, host: HostReader) -> frozenset[str]:
        """What this run will have installed by then."""
        planned = (change.after for change in host.planned(self.packages))
        names = (
            name for after in planned if isinstance(after, frozenset) for name in after
        )
        return frozenset(names)
