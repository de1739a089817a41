"""Directories."""

from __future__ import annotations

import stat
from dataclasses import dataclass

from backend_server.change import Changes
from backend_server.errors import Refused
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.resource import Resource
from backend_server.resources.file import access


@dataclass(frozen=True)
class Directory(Resource):
    """A directory with this owner, group and mode. What is inside is left alone."""

    path: str
    mode: int = 0o755
    owner: str = "root"
    group: str = "root"

    def owns(self) -> tuple[str, ...]:
        return (self.path,)

    def holds_others(self) -> bool:
        return True

    def check(self, host: HostReader) -> Changes:
        found = host.stat(self.path)
        if found is not None and not stat.S_ISDIR(found.st_mode):
            raise Refused(
                f"{self.path} is there and is no directory",
                hint=f"look at it, then move it away: mv {self.path} {self.path}.old",
            )
        changes = access(host, found, self.owner, self.group, self.mode)
        if changes:
            host.refuse_unreachable(self.path)
        return changes

    def apply(self, host: Host, changes: Changes) -> None:
        if host.stat(self.path) is None:
            host.make_directory(self.path, self.mode, self.owner, self.group)
        else:
            host.set_access(self.path, self.mode, self.owner, self.group)
