"""Not a test: what somebody with a shell on the host gets of another's desktop. Run as that person.

    python3 -I -S neighbour.py touch DISPLAY OWNER BUS    the parts of it that let them in, a JSON list
    python3 -I -S neighbour.py occupy FIRST LAST          has what these displays need, and keeps it

The cookie and the bus's right uid are the caller's own: the owner is let in everywhere.
"""

import contextlib
import ctypes
import json
import os
import pwd
import socket
import struct
import sys
import time


SOCKETS = "/run/xrdp/sockdir"
SHARED = ("/tmp", "/var/tmp", "/dev/shm")


def connected(address):
    """None where nobody lets us in, or nothing is there."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(5)
    try:
        connection.connect(address)
    except OSError:
        connection.close()
        return None
    return connection


# ---- the X server


def cookies():
    """Of the caller's own .Xauthority, and none: a server without access control wants none."""
    yield b"", b""
    with contextlib.suppress(OSError):
        with open(os.path.expanduser("~/.Xauthority"), "rb") as file:
            text = file.read()
        while text:
            fields, text = [], text[2:]
            for _ in range(4):  # address, display, name, data
                (length,) = struct.unpack(">H", text[:2])
                fields.append(text[2 : 2 + length])
                text = text[2 + length :]
            yield fields[2], fields[3]


def padded(text):
    return text + b"\0" * (-len(text) % 4)


def x_lets_in(address):
    for name, data in cookies():
        connection = connected(address)
        if connection is None:
            continue
        hello = struct.pack("<BxHHHHxx", 0x6C, 11, 0, len(name), len(data))
        with connection, contextlib.suppress(OSError):
            connection.sendall(hello + padded(name) + padded(data))
            if connection.recv(1) == b"\1":
                return True
    return False


# ---- memory


def segments(owner):
    """The ids of somebody's System V segments, where we see them, that more than they may read.

    xorgxrdp makes that of the screen so; those of programs and their X server are their owner's.
    """
    with open("/proc/sysvipc/shm") as file:
        lines = [line.split() for line in file.read().splitlines()[1:]]
    others = 0o004
    return [int(f[1]) for f in lines if int(f[7]) == owner and int(f[2], 8) & others]


def attaches(segment):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.shmat.restype = ctypes.c_void_p
    libc.shmat.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
    read_only = 0o10000
    return libc.shmat(segment, None, read_only) not in (
        None,
        ctypes.c_void_p(-1).value,
    )


# ---- sockets, the bus, files


def is_at(path, owner):
    """Whether a socket there, of somebody's, takes what we say."""
    connection = connected(path)
    if connection is None:
        return False
    with connection:
        size = struct.calcsize("iII")
        peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        return struct.unpack("iII", peer)[1] == owner


def hello():
    """The first call on a D-Bus connection: who is let in gets a name by it."""
    bus, fields = "org.freedesktop.DBus", b""
    named = ((1, "o", "/org/freedesktop/DBus"), (6, "s", bus), (2, "s", bus))
    for code, kind, text in (*named, (3, "s", "Hello")):
        fields += b"\0" * (-len(fields) % 8)
        fields += struct.pack("<BB1sBI", code, 1, kind.encode(), 0, len(text))
        fields += text.encode() + b"\0"
    head = struct.pack("<cBBBIII", b"l", 1, 0, 1, 0, 1, len(fields)) + fields
    return head + b"\0" * (-len(head) % 8)


def bus_lets_in(address):
    kind, _, rest = address.partition(":")
    key, _, place = rest.partition(",")[0].partition("=")
    connection = connected("\0" + place if key == "abstract" else place)
    if connection is None:
        return False
    with connection, contextlib.suppress(OSError):
        uid = str(os.getuid()).encode().hex().encode()
        connection.sendall(b"\0AUTH EXTERNAL " + uid + b"\r\n")
        if connection.recv(64).startswith(b"OK"):
            connection.sendall(b"BEGIN\r\n" + hello())
            return connection.recv(1) == b"l"
    return False


def files(owner):
    """What somebody has in the folders that are everybody's, where we see it at all."""
    return [
        path
        for top in SHARED
        for at, _, names in os.walk(top)
        for path in (os.path.join(at, name) for name in names)
        if os.lstat(path).st_uid == owner
    ]


def touch(display, owner, bus):
    owner = pwd.getpwnam(owner).pw_uid
    own = f"{SOCKETS}/{owner}" if os.path.isdir(f"{SOCKETS}/{owner}") else SOCKETS
    names = ("xrdp_display", "xrdpapi")
    place = f"/tmp/.X11-unix/X{display}"
    return {
        "screen and keys": x_lets_in(place) or x_lets_in("\0" + place),
        "picture": any(attaches(each) for each in segments(owner)),
        "sockets": any(is_at(f"{own}/{name}_{display}", owner) for name in names),
        "bus": bus_lets_in(bus),
        "files": bool(files(owner)),
    }


# ---- what a display needs, before its owner comes


def occupy(first, last):
    kept = [held for n in range(first, last) for held in whatever(n)]
    print(f"occupied {len(kept)}", flush=True)
    time.sleep(600)


def whatever(number):
    """Each thing of a display that can be had."""
    for name in ("xrdp_display", "xrdp_chansrv_socket", "xrdpapi"):
        yield from bound(f"{SOCKETS}/{name}_{number}")
    yield from bound(f"/tmp/.X11-unix/X{number}")
    yield from bound(f"\0/tmp/.X11-unix/X{number}")
    with contextlib.suppress(OSError):
        yield os.open(f"/tmp/.X{number}-lock", os.O_CREAT | os.O_EXCL)
    for port in (5900 + number, 6000 + number, 6200 + number, 3350, 335):
        for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            with contextlib.suppress(OSError):
                listening = socket.socket(family)
                if family == socket.AF_INET6:
                    listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listening.bind((address, port))
                listening.listen(5)
                yield listening


def bound(address):
    made = socket.socket(socket.AF_UNIX)
    with contextlib.suppress(OSError):
        made.bind(address)
        made.listen(5)
        if address[0] == "/":
            os.chmod(address, 0o666)
        yield made


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    if what == "touch":
        print(json.dumps([part for part, got in touch(*words).items() if got]))
    else:
        occupy(*map(int, words))
