"""Who may start a program that acts with root's rights, whoever starts it."""

from __future__ import annotations

import stat
from typing import Iterator

from backend_server.engine import Changes, Host, HostReader, Resource, compare


_FOLDERS = (
    *("/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/libexec"),
    *("/usr/lib/cargo/bin", "/usr/lib/openssh", "/usr/lib/policykit-1"),
    *("/usr/lib/snapd", "/usr/lib/xorg"),
)
_FOR_ALL = stat.S_IFREG | stat.S_ISUID | stat.S_IXOTH
# What the group may do, nothing, counts for its members, whatever others may.
_KEEP = ("dpkg-statoverride", "--force-statoverride-add", "--update", "--add", "root")


class SetUserId(Resource):
    """Of root's set-user-id programs, the members of a group can start these and no others.

    Everybody else can start what they could. dpkg is told, so that an upgrade keeps it.
    """

    group: str
    programs: frozenset[str]

    def check(self, host: HostReader) -> Changes:
        found = frozenset(self._open(host))
        return compare(programs=(found, self.programs & found))

    def _open(self, host: HostReader) -> Iterator[str]:
        for folder in _FOLDERS:
            for name in () if host.link(folder) else host.names(folder):
                found = host.stat(f"{folder}/{name}")
                if found and not found.st_uid and not _FOR_ALL & ~found.st_mode:
                    shut = host.group_name(found.st_gid) == self.group
                    if not shut or found.st_mode & stat.S_IRWXG:
                        yield f"{folder}/{name}"

    def apply(self, host: Host, changes: Changes) -> None:
        for path in sorted(set(self._open(host)) - self.programs):
            # dpkg goes by the path in the package: of /usr/bin/su that may be /bin/su.
            for alias in filter(host.stat, (path, path.replace("/usr", "", 1))):
                host.run(*_KEEP, self.group, "4705", alias)
