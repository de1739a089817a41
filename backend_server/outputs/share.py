"""What is done on a share, in a process that is within it and may be given up: see patience.py."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import stat
from itertools import islice
from pathlib import PurePath
from typing import Callable, NamedTuple, Sequence, Tuple

from backend_server.host import opened
from backend_server.host.files import NEW, write_all
from backend_server.host.folder import descriptor
from backend_server.outputs.patience import Emit, alive
from backend_server.outputs.within import LIBC, Place, Within, at, entered


THEIRS = "is there already, and not as this host put it there"
CHANGED = "was changed on the share since, and stays there"
GONE = "is gone from the share; touch it here, and it goes again"
SPOILT = "arrived, and is not what was sent"

_READ = os.O_RDONLY | os.O_NONBLOCK
_NOREPLACE = 1  # RENAME_NOREPLACE of renameat2(2)
_COARSE_NS = 1000  # Windows counts in 100 ns
UNSURE = -_COARSE_NS  # in place of a time: it is to be read, whatever its time there

Content = Tuple[str, int]  # SHA-256 and size


class Parcel(NamedTuple):
    """A file and its path on the share; `ours` is what this host put there, and may replace."""

    path: str
    sha256: str
    size: int
    mtime_ns: int
    ours: tuple[Content, ...]
    fd: int = -1  # of ours, where it is to be put there


class Verdict(NamedTuple):
    """What became of a path on the share; `why` it did not work, empty where it did."""

    path: str
    why: str = ""
    broke: bool = False  # the next try may do better, here or there


Act = Callable[[Within, Parcel], Verdict]


def each(place: Place, act: Act, parcels: Sequence[Parcel], emit: Emit) -> None:
    """Emits a Verdict of ACT for each: an error is that of its path, and the next goes on."""
    with entered(place) as within:
        for parcel in parcels:
            try:
                verdict = act(within, parcel)
            except (opened.NotPlain, FileExistsError) as error:
                why = THEIRS if isinstance(error, OSError) else f"{error} on the share"
                verdict = Verdict(parcel.path, why)
            except OSError as error:
                verdict = Verdict(parcel.path, str(error.strerror), broke=True)
            emit(verdict)


def sweep(place: Place, before: str, emit: Emit) -> None:
    """What the last push left half there is gone, with BEFORE, the folder that it had for that."""
    with entered(place) as within, contextlib.suppress(OSError, opened.NotPlain):
        with at(within, f"{before}/") as (folder, _):
            for each in islice(os.scandir(folder), 1000):  # others may have more there
                if re.fullmatch(r"[0-9a-f]{64}\.part", each.name):
                    _drop(within._replace(incoming=folder), each.name)
                alive()
        os.rmdir(before, dir_fd=within.top)


def put(within: Within, parcel: Parcel) -> Verdict:
    """It is there whole, byte for byte, or all is as it was before."""
    part = os.urandom(32).hex() + ".part"  # which nobody can have taken
    with contextlib.suppress(FileNotFoundError), at(within, parcel.path) as place:
        if _may_go(_found(*place, parcel), parcel) == parcel.sha256:
            return Verdict(parcel.path)
    try:
        _write(within, part, parcel)
        arrived = _found(within.incoming, part, parcel) == parcel.sha256
        if arrived:
            with at(within, parcel.path, make=True) as place:
                _name(within, part, *place, parcel)
                arrived = _is_there(*place, parcel)
    finally:
        _drop(within, part)
    return Verdict(parcel.path, "" if arrived else SPOILT, not arrived)


def remove(within: Within, parcel: Parcel) -> Verdict:
    """It is gone, with folders that this empties, unless somebody changed what was put there."""
    with contextlib.suppress(FileNotFoundError), at(within, parcel.path) as place:
        if _found(*place, parcel) not in (None, parcel.sha256):
            return Verdict(parcel.path, CHANGED)
        os.unlink(place[1], dir_fd=place[0])
    with contextlib.suppress(OSError, opened.NotPlain):
        for folder in [*PurePath(parcel.path).parents][:-1]:
            with at(within, str(folder)) as (above, name):
                os.rmdir(name, dir_fd=above)
    return Verdict(parcel.path)


def look(within: Within, parcel: Parcel) -> Verdict:
    """It is there as it was put there; read only where size or time say otherwise."""
    alive()
    with contextlib.suppress(FileNotFoundError), at(within, parcel.path) as place:
        mtime_ns = os.stat(place[1], dir_fd=place[0], follow_symlinks=False).st_mtime_ns
        same = abs(mtime_ns - parcel.mtime_ns) < _COARSE_NS
        there = same and _is_there(*place, parcel)
        whole = there or _found(*place, parcel) == parcel.sha256
        return Verdict(parcel.path, "" if whole else CHANGED)
    return Verdict(parcel.path, GONE)


def _found(folder: int, name: str, parcel: Parcel) -> str | None:
    """The SHA-256 of what is there, past what this host remembers, if it is what could be meant.

    None: nothing is; empty: no file, or one of another size, which is not read.
    """
    sizes = {parcel.size, *(size for _, size in parcel.ours)}
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISREG(found.st_mode) or found.st_size not in sizes:
            return ""
        with descriptor(name, _READ, folder) as fd:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            return opened.digest(fd, found.st_size, alive)
    except FileNotFoundError:
        return None


def _may_go(found: str | None, parcel: Parcel) -> str | None:
    """FOUND, where it is nothing, or what this host put there, or what it is to be."""
    if found in {None, parcel.sha256, *(sha256 for sha256, _ in parcel.ours)}:
        return found
    raise FileExistsError


def _is_there(folder: int, name: str, parcel: Parcel) -> bool:
    """By its size; what it holds was read before it had its name."""
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    return stat.S_ISREG(found.st_mode) and found.st_size == parcel.size


def _write(within: Within, part: str, parcel: Parcel) -> None:
    with descriptor(part, NEW, within.incoming) as fd:
        for start in range(0, parcel.size, opened.AT_ONCE):
            write_all(fd, os.pread(parcel.fd, opened.AT_ONCE, start))
            alive()
        os.fsync(fd)
    times = (parcel.mtime_ns, parcel.mtime_ns)
    os.utime(part, ns=times, dir_fd=within.incoming, follow_symlinks=False)


def _name(within: Within, part: str, folder: int, name: str, parcel: Parcel) -> None:
    """What is PART has its name, unless somebody took that while the bytes went."""
    found = _may_go(_found(folder, name, parcel), parcel)
    ends = (within.incoming, os.fsencode(part), folder, os.fsencode(name))
    if LIBC.renameat2(*ends, _NOREPLACE if found is None else 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _drop(within: Within, part: str) -> None:
    """It goes now, or where somebody has it open with a later sweep."""
    with contextlib.suppress(OSError):
        os.unlink(part, dir_fd=within.incoming)
