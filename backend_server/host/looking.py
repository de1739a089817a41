"""The files of a host. Nothing in this file can change them."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Callable, ContextManager, Iterator, TypeVar

from backend_server.host.folder import Parent, parent_of
from backend_server.text import acl
from backend_server.text.acl import Acl
from backend_server.text.frozen import Frozen


T = TypeVar("T")
_NO_ACL = (errno.ENODATA, errno.ENOTSUP, errno.ENOENT, errno.ENOTDIR)


class Space(Frozen):
    """Of a file system: which one it is, the bytes in use, and those free for anybody."""

    device: int
    used: int
    free: int
    files: int  # percent of as many as there can be
    read_only: bool = False

    @property
    def percent(self) -> int:
        """As df(1) has it: rounded up, and without what is kept back for root. Of files, if more."""
        return max(self.files, -(-100 * self.used // max(1, self.used + self.free)))


class Looking:
    """Whoever looks at a host, or at a tree of files, sees its files with this.

    Files are parsed once, and what came of it is kept until their (device, inode, size, mtime)
    change.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._prefix = str(root).rstrip("/")
        self._parsed: dict[str, tuple[object, object]] = {}
        self._seen: set[str] | None = None  # while each is looked at once

    def stat(self, path: str) -> os.stat_result | None:
        """What is at PATH itself, links not followed; None where nothing is."""
        try:
            return os.lstat(self._prefix + path)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read(self, path: str) -> str | None:
        """The text of a file; None where it is missing. Bytes that are no UTF-8 survive."""
        try:
            with open(self._prefix + path, "rb", buffering=0) as file:
                return file.read().decode("utf-8", "surrogateescape")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def names(self, path: str) -> tuple[str, ...]:
        """What a directory holds, sorted; empty where it is missing."""
        try:
            return tuple(sorted(os.listdir(self._prefix + path)))
        except (FileNotFoundError, NotADirectoryError):
            return ()

    def link(self, path: str) -> str | None:
        """Where a link points; None where no link is."""
        try:
            return os.readlink(self._prefix + path)
        except OSError:
            return None

    def acl(self, path: str, kind: str) -> Acl:
        """The access control list at PATH; empty where the mode alone decides."""
        return acl_at(self._prefix + path, kind, follow=False)

    def keeps_acls(self, path: str) -> bool:
        """Whether the file system that PATH is on, or would be on, has such lists."""
        while path and self.stat(path) is None:
            path = path.rpartition("/")[0]
        try:
            os.getxattr(self._prefix + (path or "/"), acl.ACCESS)
        except OSError as error:
            return error.errno != errno.ENOTSUP
        return True

    def space(self, path: str) -> Space | None:
        """Of the file system that PATH is on; None where nothing is at PATH."""
        try:
            found = os.statvfs(self._prefix + path)
            device = os.stat(self._prefix + path).st_dev
        except (FileNotFoundError, NotADirectoryError):
            return None
        size = found.f_frsize
        used = (found.f_blocks - found.f_bfree) * size
        files = 100 * (found.f_files - found.f_ffree) // max(1, found.f_files)
        read_only = bool(found.f_flag & os.ST_RDONLY)
        return Space(device, used, found.f_bavail * size, files, read_only)

    def writable(self, path: str) -> bool:
        """Whether the kernel would let us write: not on read-only mounts such as /proc/sys here."""
        return os.access(self._prefix + path, os.W_OK)

    def refuse_unreachable(self, path: str) -> None:
        """Raise Refused where a write to PATH would be: something on the way is in the way."""
        missing = contextlib.suppress(FileNotFoundError)  # what is missing will be made
        with missing, self.parent(path):
            pass

    def parent(self, path: str) -> ContextManager[Parent]:
        """The directory that holds PATH, by descriptor, and PATH's last name: see parent_of."""
        return parent_of(str(self.root), path, make=False)

    def parsed(self, path: str, parse: Callable[[str], T]) -> T:
        """PATH parsed, once for as long as the file stays the same; a missing file is empty."""
        kept = self._parsed.get(path)
        if kept is None or path not in (self._seen or ()):
            version = self._version(path)
            if kept is None or kept[0] != version:
                kept = self._parsed[path] = (version, parse(self.read(path) or ""))
            if self._seen is not None:
                self._seen.add(path)
        return kept[1]  # type: ignore[return-value]

    def _version(self, path: str) -> object:
        found = self.stat(path)
        return found and (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)

    @contextlib.contextmanager
    def parsing_once(self) -> Iterator[None]:
        """Meanwhile what is parsed is not looked at again: nobody of ours changes it."""
        self._seen = set()
        try:
            yield
        finally:
            self._seen = None


def acl_at(path: str, kind: str, *, follow: bool) -> Acl:
    """The list of whatever is there; with `follow`, of what a link leads to."""
    try:
        return acl.decode(os.getxattr(path, kind, follow_symlinks=follow))
    except OSError as error:
        if error.errno not in _NO_ACL:
            raise
        return frozenset()
