"""What is mounted, from the kernel's list: a mount itself may wait for a server that is gone."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct

from backend_server.host.folder import descriptor
from backend_server.host.reader import HostReader
from backend_server.text.parsers import parse_mount_points


_FOLDER = os.O_RDONLY | os.O_DIRECTORY
# FS_IOC_GETFLAGS and FS_IMMUTABLE_FL of linux/fs.h
_GET_FLAGS, _IMMUTABLE = 0x80086601, 0x10


def is_mounted(host: HostReader, path: str) -> bool:
    """Whether anything is mounted at PATH itself."""
    return path in parse_mount_points(host.read("/proc/self/mountinfo") or "")


def is_immutable(host: HostReader, path: str) -> bool:
    """Whether the directory has chattr(1)'s `i`, which holds against root too."""
    top = str(host.root).rstrip("/")
    # None is there, or on a file system without such marks.
    with contextlib.suppress(OSError), descriptor(top + path, _FOLDER) as fd:
        flags = fcntl.ioctl(fd, _GET_FLAGS, bytes(struct.calcsize("l")))
        return bool(struct.unpack("l", flags)[0] & _IMMUTABLE)
    return False
