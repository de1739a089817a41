#!/usr/bin/python3
"""How the time of a run that changes nothing grows with people: noop.py in a sandbox host.

sudo benchmarks/growth.py [10 100 1000]
"""

from __future__ import annotations

import base64
import struct
import sys
from pathlib import Path


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sandbox.host import Host  # noqa: E402
from sandbox.sandbox import Sandbox  # noqa: E402


CHECKOUT = "/srv/backend-server"
# A clone has its objects in a pack.
COMMIT = "git add -A && git -c user.name=bench -c user.email=bench@localhost commit -qm people; git gc --quiet"


def public_key(name: str) -> str:
    """A key that nobody holds the other half of."""
    parts = (b"ssh-ed25519", name.encode().ljust(32, b"-"))
    blob = b"".join(struct.pack(">I", len(part)) + part for part in parts)
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} {name}\n"


def grow(host: Host, people: int) -> None:
    """The host is managed with this many developers, each with a key."""
    names = ["ada", "grace", *(f"person{n}" for n in range(people - 2))]
    host.write(f"{CHECKOUT}/developers", "".join(f"{name}\n" for name in names))
    for name in names[2:]:
        host.write(f"{CHECKOUT}/keys/{name}", public_key(name))
    host.run(f"cd {CHECKOUT} && {COMMIT} || true")
    host.run(f"{CHECKOUT}/emis/manage.sh --offline")


def main() -> None:
    sizes = [int(word) for word in sys.argv[1:]] or [10, 100, 1000]
    with Sandbox() as sandbox:
        host = sandbox.warm("emis")
        for people in sizes:
            grow(host, people)
            noop = "/usr/bin/python3 benchmarks/noop.py ./emis/manage.sh --offline"
            print(f"\n{people} developers")
            print(host.run(f"cd {CHECKOUT} && {noop}").stdout, end="", flush=True)


if __name__ == "__main__":
    main()
