"""Not a test: runs a program for which the kernel makes no user namespace, as AppArmor may have it.

With --but-by-unshare one can still be made by unshare(2), which the window itself uses.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys


NEW_USER = 0x10000000
UNSHARE, CLONE, CLONE3 = 272, 56, 435  # of x86_64
LOAD, AND_JUMP, EQUAL, END = 0x20, 0x45, 0x15, 0x06  # of seccomp's filters
ALLOW, ERROR = 0x7FFF0000, 0x00050000


def step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("HBBI", code, yes, no, value)


def refuse(unshare: bool) -> None:
    program = (
        step(LOAD, 0),
        step(EQUAL, CLONE3, 0, 1),
        step(END, ERROR | errno.ENOSYS),
        step(EQUAL, UNSHARE if unshare else CLONE, 2, 0),
        step(EQUAL, CLONE, 1, 0),
        step(END, ALLOW),
        step(LOAD, 16),
        step(AND_JUMP, NEW_USER, 0, 1),
        step(END, ERROR | errno.EPERM),
        step(END, ALLOW),
    )
    text = ctypes.create_string_buffer(b"".join(program))
    head = struct.pack("HxxxxxxQ", len(program), ctypes.addressof(text))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(
        22, 2, ctypes.create_string_buffer(head), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "no filter")


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--but-by-unshare"]
    refuse(unshare=words == sys.argv[1:])
    os.execv(words[0], words)
