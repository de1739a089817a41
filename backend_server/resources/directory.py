"""Directories, and their access control lists."""

from __future__ import annotations

import stat
from typing import FrozenSet

from backend_server.engine import AtPath, Change, Changes, Host, HostReader, Resource
from backend_server.resources.file import access
from backend_server.text import acl
from backend_server.text.errors import Refused


Entries = FrozenSet[str]


class Directory(AtPath):
    """A directory with this owner, group and mode. What is inside is left alone."""

    holds_others = True
    mode: int = 0o755
    owner: str = "root"
    group: str = "root"

    def check(self, host: HostReader) -> Changes:
        found = host.stat(self.path)
        if found is not None and not stat.S_ISDIR(found.st_mode):
            raise self.in_the_way("is there and is no directory")
        changes = access(host, found, self.owner, self.group, self.mode)
        if changes:
            host.refuse_unreachable(self.path)
        return changes

    def apply(self, host: Host, changes: Changes) -> None:
        settle = host.set_access if host.stat(self.path) else host.make_directory
        settle(self.path, self.mode, self.owner, self.group)


class Acl(Resource):
    """A directory has exactly these lists, in entries such as `group:reviewers:r-x`.

    `default` is what new files and directories in it are born with. An empty list is none:
    there the mode alone decides. Both are whole, with `user::`, `group::` and `other::`.
    It is `wanted` where nothing is there, too, or else nothing is.
    """

    path: str
    default: Entries = frozenset()
    access: Entries = frozenset()
    wanted: bool = True

    def __post_init__(self) -> None:
        for entries in filter(None, (self.default, self.access)):
            parsed = [acl.parse(entry, _no_number, _no_number) for entry in entries]
            owners = {entry.kind for entry in parsed if entry.id is None}
            if owners - {"mask"} != {"user", "group", "other"}:
                raise ValueError(f"{self} lacks one of user::, group:: and other::")

    def check(self, host: HostReader) -> Changes:
        if not (self.wanted or host.stat(self.path)):
            return ()
        if not host.keeps_acls(self.path):
            raise Refused(
                f"{self.path} is on a file system without access control lists; "
                "wanted one that has them, such as ext4 or xfs",
                hint=f"findmnt --target {self.path}",
            )
        return (
            *_differs("default", self._found(host, acl.DEFAULT), self.default),
            *_differs("access", self._found(host, acl.ACCESS), self.access),
        )

    def apply(self, host: Host, changes: Changes) -> None:
        found = host.stat(self.path)
        mode = acl.of_mode(found.st_mode if found else 0)
        access = self.access or _shown(mode, host)
        entries = [*access, *(f"default:{entry}" for entry in self.default)]
        # One write for each list: no moment without, in which a new file would be wrong.
        exactly = ("--no-mask", "--remove-default", "--set", ",".join(sorted(entries)))
        with host.pinned(self.path) as path:
            host.run("setfacl", *exactly, path)

    def _found(self, host: HostReader, kind: str) -> Entries:
        return _shown(host.acl(self.path, kind), host)


def _shown(entries: acl.Acl, host: HostReader) -> Entries:
    return frozenset(acl.text(e, host.user_name, host.group_name) for e in entries)


def _differs(field: str, found: Entries, wanted: Entries) -> Changes:
    """A list that is not there yet is absent, not empty."""
    if found == wanted:
        return ()
    return (Change(field, found or None, wanted),)


def _no_number(name: str) -> int:
    """Numbers are the host's, and do not matter before there is one."""
    return 0
