"""Not a test: the kinds of sockets that whoever runs this can open, one a line.

    python3 -I -S kinds.py

By socket(2) each family is named by its number, and each protocol of INET that the kernel has
as a module as 2/PROTOCOL. `int 0x80`: the same, as a 32-bit program calls the kernel. `io_uring`:
the same, by a queue. `in a namespace`: as root of a user and a network namespace of one's own.
Each family is tried by a process of its own, for it may be killed.
"""

import contextlib
import ctypes
import mmap
import os
import struct
import sys


LIBC = ctypes.CDLL(None, use_errno=True)
INET, INET6, RXRPC, CAN = 2, 10, 33, 29
FAMILIES = range(1, 46)
TYPES = (1, 2, 3, 4, 5)
# With the type that each wants.
PROTOCOLS = {132: 1, 33: 6, 115: 2}
NO_FAMILY = 97
SOCKET_OF_I386, URING_SETUP, URING_ENTER = 359, 425, 426
SUBMITTED, QUEUE_ENTRIES = 0x8000000, 0x10000000
NEW_NET_AND_USER = 0x40000000 | 0x10000000


def protocol_of(family, kind):
    return {RXRPC: INET, CAN: 3 - kind if kind == 2 else 1}.get(family, 0)


def by_socket(family, kind, protocol):
    return LIBC.socket(family, kind, protocol)


def by_int_80(family, kind, protocol):
    """push rbx; mov eax, ebx, ecx, edx; int 0x80; pop rbx; ret"""
    code = b"\x53\xb8" + struct.pack("<I", SOCKET_OF_I386)
    code += b"\xbb" + struct.pack("<I", family) + b"\xb9" + struct.pack("<I", kind)
    code += b"\xba" + struct.pack("<I", protocol) + b"\xcd\x80\x5b\xc3"
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    at = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return ctypes.CFUNCTYPE(ctypes.c_int)(at)()


def by_uring(family, kind, protocol):
    asked = ctypes.create_string_buffer(120)
    ring = LIBC.syscall(URING_SETUP, 1, asked)
    if ring < 0:
        return ring
    tail, _, _, _, _, array = struct.unpack_from("<6I", asked, 44)
    cqes = struct.unpack_from("<I", asked, 80 + 20)[0]
    rw = mmap.PROT_READ | mmap.PROT_WRITE
    submit = mmap.mmap(ring, 4096, mmap.MAP_SHARED, rw, offset=0)
    done = mmap.mmap(ring, 4096, mmap.MAP_SHARED, rw, offset=SUBMITTED)
    entries = mmap.mmap(ring, 4096, mmap.MAP_SHARED, rw, offset=QUEUE_ENTRIES)
    op_socket = 45
    struct.pack_into("<BBHiQQI", entries, 0, op_socket, 0, 0, family, kind, 0, protocol)
    struct.pack_into("<I", submit, array, 0)
    struct.pack_into("<I", submit, tail, 1)
    if LIBC.syscall(URING_ENTER, ring, 1, 1, 1, None, 0) != 1:
        return -1
    return struct.unpack_from("<i", done, cqes + 8)[0]


WAYS = {"": by_socket, "int 0x80: ": by_int_80, "io_uring: ": by_uring}


def opens(way, family, types, protocol=None):
    """Whether it can be had, of any of these types. None counts where there is no such family."""
    child = os.fork()
    if child == 0:
        found = -1
        for kind in types:
            with contextlib.suppress(OSError):
                number = protocol_of(family, kind) if protocol is None else protocol
                found = way(family, kind, number)
            if found >= 0 or NO_FAMILY in (-found, ctypes.get_errno()):
                break
        os._exit(found < 0)
    return os.waitpid(child, 0)[1] == 0


def tell(prefix, *ways):
    for name, way in ways or WAYS.items():
        for family in FAMILIES:
            if opens(way, family, TYPES):
                print(f"{prefix}{name}{family}", flush=True)
        for protocol, kind in PROTOCOLS.items():
            for family in (INET, INET6):
                if opens(way, family, (kind,), protocol):
                    print(f"{prefix}{name}{family}/{protocol}", flush=True)


if __name__ == "__main__":
    tell("")
    if LIBC.unshare(NEW_NET_AND_USER) == 0:
        tell("in a namespace: ", ("", by_socket))
    sys.stdout.flush()
    print("done", flush=True)
