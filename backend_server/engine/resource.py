"""What every resource is."""

from __future__ import annotations

from backend_server.host import Host, HostReader
from backend_server.text.change import Changes
from backend_server.text.errors import Refused
from backend_server.text.frozen import Frozen


class Resource(Frozen):
    """A fact about a host that should be so. Its first field names it."""

    # Whether what it owns is a directory, in which other resources may be.
    holds_others = False

    @property
    def label(self) -> str:
        return f"{type(self).__name__} {getattr(self, self._fields[0])}"

    def __str__(self) -> str:
        return self.label

    def owns(self) -> tuple[str, ...]:
        """The facts this resource decides; no other resource may own one of them."""
        return (self.label,)

    def notifies(self) -> tuple[str, ...]:
        """The units that must reload or restart before a change here has any effect."""
        return ()

    def at_stake(self) -> tuple[str, ...]:
        """The files by which a wrong change here could shut everybody out of the host."""
        return ()

    def stands_alone(self) -> bool:
        """Whether all else goes on where this failed, as with one of many people."""
        return False

    def asks(self) -> tuple[str, ...]:
        """The units that check will ask systemd about, so that one call can answer for all."""
        return ()

    def rests(self) -> tuple[str, ...]:
        """Those of which it asks no more than whether they are active, and enabled."""
        return ()

    def foresee(self, host: HostReader) -> None:
        """Begin what check will ask of a slow program, which runs while others are checked."""

    def check(self, host: HostReader) -> Changes:
        """What is not as declared, () when nothing is. Reads only; a bare host is no error."""
        raise NotImplementedError

    def apply(self, host: Host, changes: Changes) -> None:
        """Make it so. The engine looks again afterwards: report nothing, swallow nothing."""
        raise NotImplementedError


class AtPath(Resource):
    """Whatever is at a path: one owner decides it."""

    path: str

    def owns(self) -> tuple[str, ...]:
        return (self.path,)

    def in_the_way(self, why: str) -> Refused:
        """What is there is nothing that may be changed into what is wanted: a person decides."""
        return Refused(f"{self.path} {why}", f"mv -T {self.path} {self.path}.old")
