"""A process is within a share: for it nothing else is there, whatever the server answers (ADR 39)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import sys
from typing import Iterator, NamedTuple

from backend_server.host import opened
from backend_server.text.errors import UserError
from backend_server.text.parsers import parse_mounts


# Below the folder that is pushed to: what is half there is seen by nobody. A push has one of
# its own, with more by chance to its name, so that nobody's is in its way or taken for it.
INCOMING = ".opensafely-incoming"
UNREACHED = "could not be reached"

LIBC = ctypes.CDLL(None, use_errno=True)
_OURSELVES = struct.pack("II", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3
_NO_CAPABILITIES = bytes(24)


class Place(NamedTuple):
    """Where on this host the share is, the folder on it, and the file system it must be."""

    mount_point: str
    folder: str
    incoming: str = ""  # below it, for what is half there
    kinds: tuple[str, ...] = ("cifs", "smb3")


class Within(NamedTuple):
    """Descriptors of the folder on the share, and of the one for what is half there."""

    device: int
    top: int
    incoming: int


@contextlib.contextmanager
def entered(place: Place) -> Iterator[Within]:
    """What was found to be the share is what is written to, even where it is unmounted meanwhile."""
    try:
        os.chdir(place.mount_point)
    except OSError as error:
        why = f"{place.mount_point} {UNREACHED}: {error.strerror}"
        raise UserError(why) from None
    with open("/proc/self/mountinfo", "rb") as file:
        mounts = parse_mounts(os.fsdecode(file.read()))
    device = os.stat(".").st_dev
    kind = mounts.get((os.major(device), os.minor(device)), "nothing that is mounted")
    if kind not in place.kinds:
        why = f"{place.mount_point} is {kind} and not the share: nothing was written"
        raise UserError(why)
    _confine()
    with opened.tree(".") as top, contextlib.ExitStack() as stack:
        found = Within(device, top, top)
        try:
            for each in filter(None, place.folder.split("/")):
                found = found._replace(top=_step(found, stack, found.top, each, True))
            each = place.incoming or "."
            yield found._replace(incoming=_step(found, stack, found.top, each, True))
        except opened.NotPlain:
            raise UserError(f"{each} leads away from the share") from None


def _confine() -> None:
    """A link that the server shows leads to the share alone, and no right is left but its owner's.

    No module is looked for any more: it would be one of the server's.
    """
    owner = os.stat(".")
    sys.meta_path.clear()
    os.chroot(".")
    become(owner.st_uid, owner.st_gid)
    if LIBC.capset(_OURSELVES, _NO_CAPABILITIES):
        raise OSError(ctypes.get_errno(), "capset")


def become(uid: int, gid: int) -> None:
    """This process is of that account and group, and of no other, for good."""
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


@contextlib.contextmanager
def at(within: Within, path: str, make: bool = False) -> Iterator[tuple[int, str]]:
    """The folder of what is at PATH, and its name there. Raises NotPlain where no folder is."""
    *folders, name = path.split("/")
    with contextlib.ExitStack() as stack:
        fd = within.top
        for each in folders:
            fd = _step(within, stack, fd, each, make)
        yield fd, name


def _step(
    within: Within, stack: contextlib.ExitStack, folder: int, each: str, make: bool
) -> int:
    try:
        fd = opened.step(stack, folder, each)
    except FileNotFoundError:
        if not make:
            raise
        with contextlib.suppress(FileExistsError):
            os.mkdir(each, dir_fd=folder)
        fd = opened.step(stack, folder, each)
    if os.fstat(fd).st_dev != within.device:
        raise opened.NotPlain("is reached through another file system")
    return fd
