"""What is mounted, from the kernel's list: a mount itself may wait for a server that is gone."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct

from backend_server.host.folder import descriptor
from backend_server.host.reader import HostReader
from backend_server.text.parsers import parse_mount_points


_LOOK = os.O_RDONLY | os.O_NONBLOCK
# FS_IOC_GETFLAGS, FS_IMMUTABLE_FL and FS_APPEND_FL of linux/fs.h
_GET_FLAGS, IMMUTABLE, APPEND = 0x80086601, 0x10, 0x20


def is_mounted(host: HostReader, path: str) -> bool:
    """Whether anything is mounted at PATH itself."""
    return path in parse_mount_points(host.read("/proc/self/mountinfo") or "")


def is_immutable(host: HostReader, path: str, marks: int = IMMUTABLE) -> bool:
    """Whether what is there has such a mark of chattr(1)'s, which holds against root too."""
    top = str(host.root).rstrip("/")
    # None is there, or on a file system without such marks.
    with contextlib.suppress(OSError), descriptor(top + path, _LOOK) as fd:
        flags = fcntl.ioctl(fd, _GET_FLAGS, bytes(struct.calcsize("l")))
        return bool(struct.unpack("l", flags)[0] & marks)
    return False
