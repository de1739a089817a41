"""Run by itself in a container's network: what it can reach. Needs no more than Python.

Each argument is PROTOCOL,ADDRESS,PORT; a JSON object says of each `open`, `no answer`, or the
name of the error.
"""

from __future__ import annotations

import errno
import json
import socket
import sys


_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def tried(protocol: str, address: str, port: int) -> str:
    """What comes of a connection, or of a datagram that wants an answer."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, _KINDS[protocol]) as line:
        line.settimeout(3)
        try:
            line.connect((address, port))
            if protocol == "udp":
                line.send(b"\0")
                line.recv(1)
        except socket.timeout:
            return "no answer"
        except OSError as error:
            return errno.errorcode.get(error.errno or 0, str(error))
    return "open"


def main() -> None:
    places = [(place, place.split(",")) for place in sys.argv[1:]]
    found = {place: tried(kind, at, int(port)) for place, (kind, at, port) in places}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
