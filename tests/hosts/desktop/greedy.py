"""Not a test: has of what all desktops share as much as there is. Run as that person.

    python3 -I -S greedy.py segments OWNER    System V shared memory, all made over to OWNER's uid
    python3 -I -S greedy.py files FOLDER      files, as many as its file system takes, up to 100,000
    python3 -I -S greedy.py words FILE        bytes, as many as its file system takes, up to 64 MB
    python3 -I -S greedy.py lock FILE         the lock of a file, which is made where it is not there
    python3 -I -S greedy.py shared FILE       a lock of the kind that who may read a file may have
    python3 -I -S greedy.py places SOCKET     connections, as many as it takes, up to 600, and not a word
    python3 -I -S greedy.py terminals FILE    terminals, as many as FILE (/dev/ptmx) gives
    python3 -I -S greedy.py known ADDRESS     places in the kernel's table of connections: 2,000 that stay within the
                                              host, and as many of 10,000 to ADDRESS as the host lets out
    python3 -I -S greedy.py lines SOCKET      datagrams of which init says a line each, 1,000
    python3 -I -S greedy.py answers SOCKET    a connection of SOCKET's
    python3 -I -S greedy.py silent PLACE      connections to ADDRESS:PORT, 300, and not a word
    python3 -I -S greedy.py manager UID       the sockets of UID's user manager, by their names alone

It says how many it got. With some, but for files and words, it goes on; of segments half are attached.
"""

import contextlib
import ctypes
import fcntl
import itertools
import os
import pwd
import resource
import select
import socket
import sys
import threading
import time
from pathlib import Path


CREATE, SET = 0o1000, 1
NEW_MOUNTS, NEW_USER = 0x20000, 0x10000000
MOST = 100_000
KEPT = []


class Permissions(ctypes.Structure):
    """The beginning of struct shmid_ds, as in shmctl(2)."""

    _fields_ = [
        *(("key", ctypes.c_int), ("uid", ctypes.c_uint), ("gid", ctypes.c_uint)),
        *(("cuid", ctypes.c_uint), ("cgid", ctypes.c_uint), ("mode", ctypes.c_uint)),
        ("rest", ctypes.c_char * 256),
    ]


def segments(owner):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.shmat.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
    given = Permissions(uid=pwd.getpwnam(owner).pw_uid, gid=os.getgid(), mode=0o600)
    for number in range(MOST):
        made = libc.shmget(0, 4096, CREATE | 0o600)
        if made < 0:
            return number
        if number % 2:
            libc.shmat(made, None, 0)
        libc.shmctl(made, SET, ctypes.byref(given))
    return MOST


def files(folder):
    for number in range(MOST):
        try:
            os.close(os.open(f"{folder}/{number}", os.O_CREAT | os.O_EXCL))
        except OSError:
            return number
    return MOST


def words(path):
    with contextlib.suppress(OSError), open(path, "r+b", 0) as file:
        for number in itertools.takewhile(lambda n: n < 64, itertools.count()):
            file.seek(number << 20)
            file.write(bytes(1 << 20))
    return os.stat(path).st_size >> 20


def lock(path):
    with contextlib.suppress(PermissionError):
        fcntl.flock(opened(path), fcntl.LOCK_EX)
        return 1
    return 0


def opened(path):
    # A lock asks for no more than to read.
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT)
    except PermissionError:
        return os.open(path, os.O_RDONLY)


def shared(path):
    with contextlib.suppress(OSError):
        fcntl.lockf(os.open(path, os.O_RDONLY), fcntl.LOCK_SH)
        return 1
    return 0


def places(path):
    kept = []
    take(path, kept)
    threading.Thread(target=keep, args=(path, kept), daemon=True).start()
    return len(kept)


def keep(path, kept):
    while True:
        poll = select.poll()
        for each in kept:
            poll.register(each, 0)
        gone = {number for number, _ in poll.poll(100)}
        kept[:] = [each for each in kept if each.fileno() not in gone]
        take(path, kept)


def take(path, kept):
    with contextlib.suppress(OSError):
        while len(kept) < 600:
            caller = socket.socket(socket.AF_UNIX)
            caller.setblocking(False)
            caller.connect(path)
            kept.append(caller)


def terminals(path):
    for number in range(MOST):
        try:
            os.open(path, os.O_RDWR | os.O_NOCTTY)
        except OSError:
            return number
    return MOST


def known(address):
    listens = socket.create_server(("127.0.0.1", 0), backlog=4096)
    for _ in range(2000):
        KEPT.append(socket.create_connection(listens.getsockname()))
        KEPT.append(listens.accept()[0])
    return sum(goes_out(address, port) for port in range(10_000, 20_000))


def goes_out(address, port):
    with socket.socket(type=socket.SOCK_DGRAM) as one:
        try:
            return one.sendto(b"x", (address, port))
        except PermissionError:
            return 0


def lines(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        try:
            one.connect(path)
        except PermissionError:
            return 0
        return sum(one.send(b"\0\0") // 2 for _ in range(1000))


def answers(path):
    try:
        KEPT.append(socket.socket(socket.AF_UNIX))
        KEPT[-1].connect(path)
    except PermissionError:
        return 0
    return 1


def silent(place):
    address, _, port = place.rpartition(":")
    for number in range(300):
        try:
            KEPT.append(socket.create_connection((address, int(port)), 5))
        except OSError:
            return number
    return 300


def manager(uid):
    """In a /run/user of our own: what lists sockets gives the names that they were made by."""
    libc = ctypes.CDLL(None, use_errno=True)
    maps = {"uid_map": f"0 {os.getuid()} 1", "gid_map": f"0 {os.getgid()} 1"}
    if libc.unshare(NEW_USER | NEW_MOUNTS):
        return 0
    for name, text in {"setgroups": "deny", **maps}.items():
        Path("/proc/self", name).write_text(text)
    if libc.mount(b"none", b"/run/user", b"tmpfs", 0, None):
        return 0
    Path(f"/run/user/{uid}/systemd").mkdir(parents=True)
    for name in ("systemd/private", "bus"):
        KEPT.append(socket.socket(socket.AF_UNIX))
        KEPT[-1].bind(f"/run/user/{uid}/{name}")
        KEPT[-1].listen()
    return len(KEPT)


if __name__ == "__main__":
    what, place = sys.argv[1:]
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    got = globals()[what](place)
    print(f"has {got}", flush=True)
    if got and what not in ("files", "words"):
        time.sleep(600)
