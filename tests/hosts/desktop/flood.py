"""Not a test: fills the journal until what was there before is gone. Runs as a person.

    python3 -I -S flood.py MEGABYTES

By journald's own protocol, which takes large fields, and says how much it sent.
"""

import os
import socket
import sys


FIELD = 90_000


def main(megabytes):
    sent, size = 0, int(megabytes) << 20
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        journal.connect("/run/systemd/journal/socket")
        while sent < size:
            noise = os.urandom(FIELD).replace(b"\n", b"x")
            length = len(noise).to_bytes(8, "little")
            entry = b"MESSAGE=noise\nPRIORITY=6\nX\n" + length + noise + b"\n"
            sent += journal.send(entry)
    print("sent", megabytes)


if __name__ == "__main__":
    main(*sys.argv[1:])
