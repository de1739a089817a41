"""People who are gone."""

from __future__ import annotations

from dataclasses import dataclass

from backend_server.engine.resource import Resource
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.people.doors import open_doors, shut_out
from backend_server.text.change import Changes, compare
from backend_server.text.errors import UserError
from backend_server.text.parsers import FIRST_PERSON


@dataclass(frozen=True)
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
        failed = [f for f in (_shut(host, name) for name in self._names(host)) if f]
        if failed:
            raise UserError(
                "\n".join(map(str, failed)),
                hint="\n".join(error.hint for error in failed),
            )

    def _names(self, host: HostReader) -> list[str]:
        """A system account that somebody put into the group is nobody's to shut out."""
        users = host.users()
        found = host.members(self.marker).intersection(users) - self.people
        return sorted(name for name in found if users[name].uid >= FIRST_PERSON)


def _shut(host: Host, name: str) -> UserError | None:
    """What would not shut: the others have their turn all the same."""
    failed = None
    if open_doors(host, name):
        try:
            for _ in shut_out(host, name):
                pass
        except UserError as error:
            failed = error
    return failed
