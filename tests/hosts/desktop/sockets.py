"""Not a test: the unix sockets of a host that somebody could speak to, tried. Run by root.

    python3 -I -S sockets.py USER

For each socket that waits for others, by path or abstract name, a process of USER's connects.
Those that took it, and are not USER's own, are printed, a JSON list of [path, user, unit].
"""

import contextlib
import glob
import json
import os
import pwd
import re
import socket
import sys
from pathlib import Path


LISTENS = 0x10000  # __SO_ACCEPTCON
STREAM, DATAGRAM, SEQPACKET = 1, 2, 5
LINE = re.compile(r"\S+ \S+ \S+ (\S+) (\S+) \S+ +(\d+) (\S+)")


def waiting():
    """Each with its kind and inode; datagram sockets wait for anybody who knows their name."""
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        found = LINE.match(line)
        if found:
            flags, kind = int(found[1], 16), int(found[2], 16)
            if kind == DATAGRAM or flags & LISTENS:
                yield found[4], kind, found[3]


def owners():
    """By inode, whose process has the socket, and of which unit."""
    found, names = {}, {each.pw_uid: each.pw_name for each in pwd.getpwall()}
    for path in glob.glob("/proc/[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            inode = re.match(r"socket:\[(\d+)\]", os.readlink(path))
            if inode:
                process = os.path.dirname(os.path.dirname(path))
                uid = os.stat(process).st_uid
                user = names.get(uid, str(uid))
                groups = Path(process, "cgroup").read_text()
                unit = groups.strip().rpartition("/")[2]
                found.setdefault(inode[1], (user, unit))
    return found


def opens(path, kind):
    name = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, kind) as connection:
        connection.settimeout(1)
        with contextlib.suppress(OSError):
            connection.connect(name)
            return True
    return False


def main(name):
    known, listed = owners(), sorted(set(waiting()))
    user = pwd.getpwnam(name)
    os.initgroups(name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    found = [
        (path, *known.get(inode, ("?", "?")))
        for path, kind, inode in listed
        if opens(path, kind)
    ]
    print(json.dumps([each for each in found if each[1] != name]))


if __name__ == "__main__":
    main(*sys.argv[1:])
