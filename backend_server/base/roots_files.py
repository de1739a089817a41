"""Files that root goes by, and who could change them."""

from __future__ import annotations

import stat
from typing import Iterable

from backend_server.engine import Changes, Host, HostReader, Resource, compare
from backend_server.engine.engine import Component


_ACCOUNTS = frozenset({"/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"})


class RootsFiles(Resource):
    """Each of these files, where it is there, is root's, and writable by root alone."""

    name: str
    files: frozenset[str]
    open: frozenset[str] = frozenset()

    def check(self, host: HostReader) -> Changes:
        found = frozenset(path for path in self.files if _is_open(host, path))
        return compare(open=(found, self.open))

    def apply(self, host: Host, changes: Changes) -> None:
        for path in sorted(self.files):
            found = host.stat(path)
            if found and _is_open(host, path):
                mode = stat.S_IMODE(found.st_mode) & 0o755
                host.set_access(path, mode, "root", host.group_name(found.st_gid))


def edited(components: Iterable[Component]) -> Resource:
    """Those of which the resources say what stands there, and not whose they are."""
    resources = [r for part in components for r in part.resources]
    facts = ({*r.owns(), *r.at_stake()} for r in resources if not hasattr(r, "owner"))
    paths = (fact for each in facts for fact in each if fact.startswith("/etc/"))
    return RootsFiles("edited", _ACCOUNTS.union(paths))


def _is_open(host: HostReader, path: str) -> bool:
    found = host.stat(path)
    if found is None or not stat.S_ISREG(found.st_mode):
        return False
    return found.st_uid != 0 or bool(found.st_mode & 0o022)
