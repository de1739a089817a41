"""Changing the host. With files.py, the only code that does."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from pathlib import Path
from typing import Callable, Iterator

from backend_server.host import command, files
from backend_server.host.folder import descriptor, parent_of
from backend_server.host.reader import PENDING, UNNOTICED_BY, HostReader
from backend_server.text import acl
from backend_server.text.errors import CommandFailed, Refused


_LOOK = os.O_RDONLY | os.O_NONBLOCK


class Host(HostReader):
    """A host to look at and to change: only `apply` is given this.

    Paths are absolute. Links on the way to them are followed only where root made every step.
    `say` is told what a long step waits for.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        super().__init__(root)
        self.say: Callable[[str], None] = lambda message: None

    def run(self, *argv: str, stdin: str = "", deadline_s: float = 600) -> str:
        """Standard output of a program that ended with 0.

        Secrets go to `stdin`: anybody can read argv in ps(1). Raises CommandFailed, with the
        line to repeat it and what it printed.
        """
        self._forget_answers()
        output = self._start(argv, stdin=stdin, deadline_s=deadline_s)
        return command.succeeded(argv, output)

    def write(
        self,
        path: str,
        text: str,
        mode: int,
        owner: str = "root",
        group: str = "root",
        validate: files.Validate | None = None,
    ) -> None:
        """PATH holds exactly TEXT: wholly old or wholly new whenever the power goes."""
        self._forget_answers()
        ids = self._ids(owner, group)
        data = text.encode("utf-8", "surrogateescape")
        files.replace(str(self.root), path, data, mode, ids, validate)

    def refuse_unwritable(self, path: str, mode: int) -> None:
        """PATH is as it is, and it was tried whether it can be written. Else Refused is raised."""
        now, folder = self.read(path), path.rpartition("/")[0]
        try:
            self.write(path, now or "", mode)
            if now is None:
                self.remove(path)
        except OSError as error:
            these = folder if now is None else f"{folder} {path}"
            mends = f"lsattr -d {these}; chattr -ia {these}; findmnt -T {folder}"
            why = f"{path} cannot be written: {error.strerror}"
            raise Refused(why, mends) from None

    def judged_by(self, *argv: str) -> files.Validate:
        """For `write`: this program, given the candidate's path, must end with 0."""
        return lambda candidate: self.run(*argv, candidate)

    def keep(self) -> None:
        """The next run knows what this one found to be of use to it."""
        for path, text in self.to_keep.items():
            if self.read(path) != text:
                self.write(path, text, 0o644)

    def rewrite(self, path: str, text: str) -> None:
        """PATH, an existing file, holds exactly TEXT and keeps its inode."""
        data = text.encode("utf-8", "surrogateescape")
        files.rewrite(str(self.root), path, data)

    def remove(self, path: str) -> None:
        """No file or link is at PATH, whether or not one was."""
        self._forget_answers()
        with contextlib.suppress(FileNotFoundError), self.parent(path) as (at, name):
            os.unlink(name, dir_fd=at)
            os.fsync(at)

    def make_directory(self, path: str, mode: int, owner: str, group: str) -> None:
        """A directory is at PATH, closed to others until owner and mode are right."""
        with parent_of(str(self.root), path, make=True) as (folder, name):
            os.mkdir(name, 0o700, dir_fd=folder)
            with descriptor(name, _LOOK, folder) as fd:
                _forget_acls(fd)
                self._set_access(fd, mode, owner, group)
            os.fsync(folder)

    @contextlib.contextmanager
    def pinned(self, path: str) -> Iterator[str]:
        """A path for a program that means what is at PATH now, whatever is moved there later."""
        with self.parent(path) as (at, name), descriptor(name, os.O_PATH, at) as fd:
            yield f"/proc/{os.getpid()}/fd/{fd}"

    def set_access(self, path: str, mode: int, owner: str, group: str) -> None:
        """What is at PATH, which is no link, has this owner, group and mode."""
        with self.parent(path) as (folder, name), descriptor(name, _LOOK, folder) as fd:
            self._set_access(fd, mode, owner, group)

    def set_mode(self, path: str, mode: int) -> None:
        """What is at PATH, which is no link, has this mode, whoever owns it."""
        with self.parent(path) as (folder, name), descriptor(name, _LOOK, folder) as fd:
            os.fchmod(fd, mode)

    def clear_set_id(self, path: str, owner: int) -> None:
        """The file at PATH makes nobody somebody else; one of another owner is left alone."""
        # Neither a socket nor somebody's lease keeps from it what is only pointed at.
        with self.parent(path) as (at, name), descriptor(name, os.O_PATH, at) as fd:
            found = os.fstat(fd)
            if found.st_uid == owner and not stat.S_ISLNK(found.st_mode):
                mode = stat.S_IMODE(found.st_mode) & ~0o6000
                os.chmod(f"/proc/self/fd/{fd}", mode)

    def mark_pending(self, unit: str, because: str, process: str = "") -> None:
        """Whatever happens now, the next run knows that `unit` has a change to notice.

        With `process`, which has not noticed it, it can be seen that another has begun.
        """
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = f"{self.boot_id()} {when} {because}{process and UNNOTICED_BY}{process}\n"
        self.write(f"{PENDING}/{unit}", line, 0o644)

    def clear_pending(self, unit: str) -> None:
        """`unit` has noticed every change."""
        if self.stat(f"{PENDING}/{unit}"):
            self.remove(f"{PENDING}/{unit}")

    def _set_access(self, fd: int, mode: int, owner: str, group: str) -> None:
        # chown first: it clears setuid and setgid, which the mode may contain.
        os.fchown(fd, *self._ids(owner, group))
        os.fchmod(fd, mode)

    def _ids(self, owner: str, group: str) -> tuple[int, int]:
        user, entry = self.users().get(owner), self.groups().get(group)
        if user is None or entry is None:
            missing = f"user {owner}" if user is None else f"group {group}"
            raise CommandFailed(f"there is no {missing} on this host", "sudo backend")
        return user.uid, entry.gid


def _forget_acls(fd: int) -> None:
    """A new directory has nothing but its mode, whatever the one it is in would hand down."""
    for kind in (acl.ACCESS, acl.DEFAULT):
        try:
            os.removexattr(fd, kind)
        except OSError as error:
            if error.errno not in (errno.ENODATA, errno.ENOTSUP):
                raise
