"""Roles that somebody who stays has lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator

from backend_server.engine.resource import Resource
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.people import doors, processes
from backend_server.resources.group import LOST
from backend_server.text.change import Changes, compare, counted


@dataclass(frozen=True)
class LostRoles(Resource):
    """Nothing goes on that one of these people began with a group that they have lost.

    A process keeps the groups that it was born with. All of theirs end, root shells that they
    got through sudo included, and they log in again; what they have planned runs later, with
    the groups of then. A session that this run came from ends with the timer's.

    `roles` are the groups that are settled before, and who stays in each.
    """

    marker: str
    people: frozenset[str]
    roles: tuple[tuple[str, frozenset[str]], ...] = ()
    begun: frozenset[str] = frozenset()

    def check(self, host: HostReader) -> Changes:
        return compare(begun=(frozenset(self._begun(host)), self.begun))

    def apply(self, host: Host, changes: Changes) -> None:
        for name in sorted(self._lost(host)):
            doors.end_begun(host, name)

    def _begun(self, host: HostReader) -> Iterator[str]:
        lost = self._lost(host)
        running = processes.running(host) if lost else {}
        for name, groups in lost.items():
            uid = host.users()[name].uid
            number = len(processes.of(running, uid))
            if number or not processes.own(running, uid):
                yield f"{name}: {counted(number, 'process')} begun in {groups}"

    def _lost(self, host: HostReader) -> dict[str, str]:
        """Of each of them the groups: by their mark, or which this run will take."""
        here = self.people & host.users().keys()
        found = {name: (host.read(f"{LOST}/{name}") or "").split() for name in here}
        for group, stay in self.roles:
            for name in here.intersection(host.members(group)) - stay:
                found[name].append(group)
        return {name: " ".join(sorted({*all_})) for name, all_ in found.items() if all_}
