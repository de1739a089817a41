"""Changing files so that they are always wholly old or wholly new."""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import Callable, Iterator

from backend_server.host.folder import descriptor, parent_of


NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL

_RANDOM = 8  # hexadecimal digits in a candidate's name

Validate = Callable[[str], object]  # given the path of the candidate, raises UserError


def replace(
    root: str,
    path: str,
    data: bytes,
    mode: int,
    ids: tuple[int, int],
    validate: Validate | None = None,
) -> None:
    """PATH holds exactly DATA, on disk, even after a power loss; validated before it lands.

    The candidate's name starts with a dot and ends in .tmp: sudo, sshd, cron and systemd
    all skip such files. Candidates that a killed run left are removed.
    """
    with parent_of(root, path, make=True) as (folder, name):
        _sweep(folder, name)
        with _candidate(folder, name) as (fd, candidate):
            write_all(fd, data)
            os.fchown(fd, *ids)
            os.fchmod(fd, mode)
            os.fsync(fd)
            if validate:
                beside = os.path.dirname(path).lstrip("/")
                validate(os.path.join(root, beside, candidate))
            os.rename(candidate, name, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)


def rewrite(root: str, path: str, data: bytes) -> None:
    """PATH, which must exist, holds exactly DATA and is still the same inode.

    For files that are bind-mounted singly into containers, which pin the inode. Written in
    one go and padded with newlines, so that a kill in between leaves at worst empty lines;
    a candidate beside it first proves that the disk has room, and goes before the file is
    touched: afterwards no run would have a reason to look for it.
    """
    with parent_of(root, path, make=False) as (folder, name):
        _sweep(folder, name)
        with _candidate(folder, name) as (spare, candidate):
            write_all(spare, data)
            os.fsync(spare)
            os.unlink(candidate, dir_fd=folder)
        with descriptor(name, os.O_WRONLY, folder) as fd:
            write_all(fd, data.ljust(os.fstat(fd).st_size, b"\n"))
            os.ftruncate(fd, len(data))
            os.fsync(fd)


def write_all(fd: int, data: bytes) -> None:
    """All of DATA is written: os.write may stop short, at a full disk for one."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


@contextlib.contextmanager
def _candidate(folder: int, name: str) -> Iterator[tuple[int, str]]:
    candidate = f".{name}.{secrets.token_hex(_RANDOM // 2)}.tmp"
    with descriptor(candidate, NEW, folder) as fd:
        try:
            yield fd, candidate
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(candidate, dir_fd=folder)
            raise


def _sweep(folder: int, name: str) -> None:
    length = len(f".{name}..tmp") + _RANDOM
    for left in os.listdir(folder):
        ours = left.startswith(f".{name}.") and left.endswith(".tmp")
        if ours and len(left) == length:
            os.unlink(left, dir_fd=folder)
