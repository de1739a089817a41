"""Not a test: has as much as there is of what all people of a host share. Run as one of them.

    python3 -I -S hog.py one          the memory of one process
    python3 -I -S hog.py many         memory, by a process after the other of 20 MB each
    python3 -I -S hog.py held FOLDER  memory that no process has: files in FOLDER, and what pipes and sockets hold
    python3 -I -S hog.py bomb         processes that each begin two more, in sessions of their own
    python3 -I -S hog.py spin         fifty processes, in sessions of their own, that only count
    python3 -I -S hog.py opened       files, by as many processes as can have some
    python3 -I -S hog.py watches      places to watch for changes (inotify), and what to watch with
    python3 -I -S hog.py told         connections to itself in which each end has said what nobody reads

It says how many it got, where it lives to say so, and keeps them.
"""

import contextlib
import ctypes
import os
import resource
import signal
import socket
import sys
import time


MIB = 1 << 20
LIBC = ctypes.CDLL(None, use_errno=True)


def one(_):
    kept = []
    while True:
        kept.append(b"x" * (20 * MIB))


def many(_):
    while True:
        with contextlib.suppress(OSError):
            if not os.fork():
                kept = b"x" * (20 * MIB)
                time.sleep(600)
                return len(kept)
        time.sleep(0.05)


def held(folder):
    """Also after who made the files has ended."""
    got = 0
    with contextlib.suppress(OSError), open(f"{folder}/held", "wb", 0) as file:
        while True:
            got += file.write(b"x" * MIB)
    while fork():
        with contextlib.suppress(OSError, MemoryError):
            while True:
                for end in socket.socketpair():
                    end.setblocking(False)
                    KEPT.append(end)
                    with contextlib.suppress(BlockingIOError):
                        while True:
                            end.send(b"x" * 4096)
    time.sleep(600)
    return got


KEPT = []


def fork():
    """Whether this is the child: twenty of them, and their parent."""
    return any(not os.fork() for _ in range(20))


def bomb(_):
    while True:
        with contextlib.suppress(OSError):
            if not os.fork():
                os.setsid()


def spin(_):
    for _ in range(50):
        if not os.fork():
            os.setsid()
            while True:
                pass
    return 50


def opened(_):
    """Each process tells by a pipe how many it has."""
    tell, told = os.pipe()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    got = 0
    for _ in range(40):
        try:
            if os.fork():
                got += int(os.read(tell, 16) or 0)
                continue
        except OSError:
            break
        count = 0
        with contextlib.suppress(OSError):
            while count < 100_000:
                os.open("/etc/passwd", os.O_RDONLY)
                count += 1
        os.write(told, b"%16d" % count)
        time.sleep(600)
    return got


def watches(_):
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2
    )
    instances = []
    while (made := LIBC.inotify_init1(0)) >= 0:
        instances.append(made)
    got = 0
    for folder, _, files in os.walk("/usr"):
        for name in ("", *files):
            path = os.fsencode(f"{folder}/{name}")
            if LIBC.inotify_add_watch(instances[0], path, 0xFFF) < 0:
                if ctypes.get_errno() == 28:
                    return got
                continue
            got += 1
    return got


def told(_):
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2
    )
    listens = socket.create_server(("127.0.0.1", 0), backlog=4096)
    got = 0
    for _ in range(4000):
        pair = [socket.create_connection(listens.getsockname()), listens.accept()[0]]
        for end in pair:
            end.setblocking(False)
            KEPT.append(end)
            with contextlib.suppress(BlockingIOError):
                while True:
                    got += end.send(b"x" * MIB)
    return got


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    what, *place = sys.argv[1:]
    print(f"has {globals()[what](*(place or ['']))}", flush=True)
    time.sleep(600)
