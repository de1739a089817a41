"""What apt knows of the archive."""

from __future__ import annotations

from backend_server.engine import Changes, Resource, compare
from backend_server.host import Host, HostReader, apt
from backend_server.resources.package import LISTS
from backend_server.text.errors import CommandFailed, OutsideWorld


_OWN = "those of the host's own sources"


class PackageLists(Resource):
    """apt's package lists are those of the sources that are configured.

    `releases` are list files without their _InRelease or _Release ending, as apt names them;
    none means that the host's own sources are used and any list will do.
    """

    sources: str
    releases: frozenset[str] = frozenset()

    def check(self, host: HostReader) -> Changes:
        found = {
            name.rpartition("_")[0]
            for name in host.names(LISTS)
            if name.endswith(("_InRelease", "_Release"))
        }
        wanted = self.releases or frozenset({_OWN})
        there = frozenset(found & self.releases if self.releases else {_OWN})
        return compare(releases=(there if found else frozenset(), wanted))

    def apply(self, host: Host, changes: Changes) -> None:
        try:
            apt.update(host)
        except CommandFailed as error:
            if self.check(host):
                raise
            # Ours are there all the same: it is somebody else's that is away.
            raise OutsideWorld(str(error), error.hint) from None
