"""Places where a file gives nobody the rights of its owner."""

from __future__ import annotations

from backend_server.host import Host, HostReader
from backend_server.resources import Unit
from backend_server.text.change import Changes, compare
from backend_server.text.parsers import parse_mount_points


class NoSuid(Unit):
    """By this unit all that is mounted at these places and below has nosuid and nodev, and of `inert` noexec.

    Where a place is no file system of its own, it is mounted on itself.
    """

    places: tuple[str, ...] = ()
    inert: tuple[str, ...] = ()
    open: frozenset[str] = frozenset()

    def check(self, host: HostReader) -> Changes:
        mounts = parse_mount_points(host.read("/proc/self/mountinfo") or "")
        open_ = set(self.places) - mounts.keys()
        for point, options in mounts.items():
            wanted = {"nosuid", "nodev"}
            if _below(point, self.inert):
                wanted.add("noexec")
            if _below(point, self.places) and not wanted <= options:
                open_.add(point)
        return super().check(host) + compare(open=(frozenset(open_), self.open))

    def apply(self, host: Host, changes: Changes) -> None:
        super().apply(host, changes)
        host.run("systemctl", "restart", self.name)


def _below(point: str, places: tuple[str, ...]) -> bool:
    return f"{point}/".startswith(tuple(f"{place}/" for place in places))
