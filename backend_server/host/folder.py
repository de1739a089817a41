"""Opening the directory a path is in, without being led astray on the way there."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Iterator, Tuple

from backend_server.text.errors import Refused


_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LINKS_AT_MOST = 40  # as the kernel does it, path_resolution(7)

Parent = Tuple[int, str]  # of a path: a directory's descriptor, and the last name


@contextlib.contextmanager
def parent_of(root: str, path: str, *, make: bool) -> Iterator[Parent]:
    """A descriptor of the directory that holds PATH, and PATH's last name.

    Missing directories are made root's, 0755, when `make` is true. A link on the way is
    followed only while root alone could have put it there, so that nobody can point a
    write of ours at another file; any other link is Refused.
    """
    folder, _, name = path.rpartition("/")
    walk = _Walk(root, path, make)
    try:
        walk.go(folder)
        yield walk.fd, name
    finally:
        os.close(walk.fd)


@contextlib.contextmanager
def descriptor(name: str, how: int, folder: int | None = None) -> Iterator[int]:
    """Of what is at NAME itself, in FOLDER: where that is a link, it is not followed."""
    fd = os.open(name, how | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        yield fd
    finally:
        os.close(fd)


class _Walk:
    """One step after the other from the root, by descriptor."""

    def __init__(self, root: str, path: str, make: bool) -> None:
        self.root, self.path, self.make = root, path, make
        self.fd = os.open(root, _OPEN & ~os.O_NOFOLLOW)
        self.roots_alone = True  # nobody but root can have changed a step so far
        self.links = 0

    def go(self, folder: str) -> None:
        ahead = folder.split("/")[::-1]
        while ahead:
            name = ahead.pop()
            if name in ("", "."):
                continue
            found = self._look(name)
            if stat.S_ISLNK(found.st_mode):
                ahead += self._follow(name, found).split("/")[::-1]
            elif not stat.S_ISDIR(found.st_mode):
                hint = f"namei -l {self.path}"
                raise Refused(f"{self.path}: {name} on the way is no directory", hint)
            else:
                self._enter(os.open(name, _OPEN, dir_fd=self.fd))

    def _look(self, name: str) -> os.stat_result:
        try:
            return os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            if not self.make:
                raise
        # Another program may make it just now.
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o755, dir_fd=self.fd)
            os.chmod(name, 0o755, dir_fd=self.fd)  # whatever the umask
        return os.stat(name, dir_fd=self.fd, follow_symlinks=False)

    def _enter(self, fd: int) -> None:
        os.close(self.fd)
        self.fd = fd
        found = os.fstat(fd)
        self.roots_alone &= found.st_uid == 0 and not found.st_mode & 0o022

    def _follow(self, name: str, found: os.stat_result) -> str:
        target = os.readlink(name, dir_fd=self.fd)
        self.links += 1
        if not (self.roots_alone and found.st_uid == 0) or self.links > _LINKS_AT_MOST:
            raise Refused(
                f"{self.path}: {name} on the way is a link to {target} that somebody "
                "other than root could have made",
                hint=f"namei -l {self.path}",
            )
        if target.startswith("/"):
            self._enter(os.open(self.root, _OPEN & ~os.O_NOFOLLOW))
            self.roots_alone = True
        return target
