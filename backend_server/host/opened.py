"""Opening what stands in a tree that jobs and people write to, and nothing but that."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from typing import Callable, ContextManager, NamedTuple, Tuple

from backend_server.host.folder import descriptor
from backend_server.text.errors import UserError


_FOLDER = os.O_RDONLY | os.O_DIRECTORY
AT_ONCE = 1 << 20

Sign = Tuple[int, ...]  # inode, size and both times: by these a file is found unchanged


class NotPlain(UserError):
    """What is at a path is not a file of that tree alone."""


class Output(NamedTuple):
    """A file that is open for reading: whatever is moved to its name, it stays this one."""

    fd: int
    size: int
    sign: Sign


def tree(path: str) -> ContextManager[int]:
    """A descriptor of the folder at PATH."""
    return descriptor(path, _FOLDER)


def opened(top: int, path: str) -> Output:
    """The file at PATH below the folder TOP, by descriptor: no link is ever followed.

    Raises NotPlain for a link, a pipe, a device, a file that has another name elsewhere, or
    one of another file system; FileNotFoundError where nothing is; BlockingIOError where
    somebody keeps it from being read.
    """
    *folders, name = path.split("/")
    with contextlib.ExitStack() as stack:
        fd, device = top, os.fstat(top).st_dev
        for folder in folders:
            fd = step(stack, fd, folder)
        # A pipe does not block and a device does nothing when it is only looked at.
        fd = step(stack, fd, name, os.O_PATH)
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_dev != device:
            raise NotPlain("is no plain file")
        if found.st_nlink != 1:
            raise NotPlain("has another name: it is a hard link")
        # Where somebody has a lease on it, fcntl(2), it is not waited for.
        how = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
        file = os.open(f"/proc/self/fd/{fd}", how)
    return Output(file, found.st_size, sign(found))


def step(
    stack: contextlib.ExitStack, folder: int, name: str, flags: int = _FOLDER
) -> int:
    """A descriptor of NAME in FOLDER for as long as STACK lasts; NotPlain where a link is."""
    try:
        return stack.enter_context(descriptor(name, flags, folder))
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise NotPlain("is reached through a link or a file") from None
        raise


def sign(found: os.stat_result) -> Sign:
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def digest(fd: int, size: int, alive: Callable[[], None] = lambda: None) -> str:
    """The SHA-256 of the whole file, in hexadecimal; empty where it has not SIZE bytes.

    No more is read, whatever is there; `alive` is called as it goes on.
    """
    found, at = hashlib.sha256(), 0
    while at <= size:
        data = os.pread(fd, AT_ONCE, at)
        if not data:
            break
        found.update(data)
        at += len(data)
        alive()
    return found.hexdigest() if at == size else ""
