"""People who are gone, and roles of which somebody who stays is."""

from __future__ import annotations

import itertools
from typing import Callable, Iterable

from backend_server.engine import Changes, Host, HostReader, Resource, compare, counted
from backend_server.people import processes
from backend_server.people.doors import end_sessions, look_through, open_doors, shut_out
from backend_server.resources.group import LOST
from backend_server.text.errors import UserError
from backend_server.text.parsers import FIRST_PERSON
from backend_server.text.roles import ROLES, ROOT_EQUIVALENT_GROUPS


class Leavers(Resource):
    """Nobody who carries the marker group and is not one of these has a door left here.

    Their accounts, homes and files stay. What they run is killed, root shells that they got
    through sudo included; what they had planned is put away for root to look at.
    """

    marker: str
    people: frozenset[str]
    doors: frozenset[str] = frozenset()  # those that are open

    def check(self, host: HostReader) -> Changes:
        return compare(doors=(open_doors(host, *self._names(host)), self.doors))

    def apply(self, host: Host, changes: Changes) -> None:
        _each(host, self._names(host), _shut)

    def _names(self, host: HostReader) -> list[str]:
        """A system account that somebody put into the group is nobody's to shut out."""
        users = host.users()
        found = host.members(self.marker).intersection(users) - self.people
        return sorted(name for name in found if users[name].uid >= FIRST_PERSON)


def _shut(host: Host, name: str) -> None:
    if open_doors(host, name):
        list(shut_out(host, name))


def _each(
    host: Host, names: Iterable[str], *acts: Callable[[Host, str], object]
) -> None:
    """One after the other, for all of them: what fails for one keeps nothing back for others."""
    failed: dict[str, UserError | OSError] = {}
    for act, name in itertools.product(acts, names):
        if name in failed:
            continue
        try:
            act(host, name)
        except (UserError, OSError) as error:
            failed[name] = error
    if failed:
        hints = filter(None, (getattr(e, "hint", "") for e in failed.values()))
        raise UserError("\n".join(map(str, failed.values())), "\n".join(hints))


_TAKE = ("Members", "NotMembers", "RootEquivalent")  # what takes people out of groups


class LostRoles(Resource):
    """Nothing goes on that one of these people began with a group that they have lost.

    A process keeps the groups that it was born with. All of theirs end, root shells that they
    got through sudo included, and they log in again; what they have planned runs later, with
    the groups of then. Whoever runs this goes on, until the timer comes.
    """

    marker: str
    people: frozenset[str]
    begun: frozenset[str] = frozenset()

    def check(self, host: HostReader) -> Changes:
        lost, users = self._lost(host), host.users()
        running = processes.running(host) if lost else {}
        many = {name: len(processes.of(running, users[name].uid)) for name in lost}
        begun = {f"{n}: {counted(many[n], 'process')} begun in {lost[n]}" for n in lost}
        return compare(begun=(frozenset(begun), self.begun))

    def apply(self, host: Host, changes: Changes) -> None:
        _each(host, sorted(self._lost(host)), end_sessions, look_through)

    def _lost(self, host: HostReader) -> dict[str, str]:
        """Of each of them the groups: by their mark, or which this run will take."""
        here = self.people & host.users().keys() - {host.person()}
        found = {name: (host.read(f"{LOST}/{name}") or "").split() for name in here}
        groups = (*(role.group for role in ROLES), *ROOT_EQUIVALENT_GROUPS)
        for noun, group in itertools.product(_TAKE, groups):
            for change in host.planned(f"{noun} {group}"):
                gone = change.before - change.after  # type: ignore[operator]
                for name in here & gone:  # type: ignore[operator]
                    found[name].append(group)
        return {name: " ".join(sorted({*all_})) for name, all_ in found.items() if all_}
