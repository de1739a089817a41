#!/usr/bin/python3
"""How long it takes to shut somebody out, with a session open, next to doing it by hand.

By hand means the commands an administrator would type, one shell, no checks. Each in turn, in
one sandbox host with this many developers.

sudo benchmarks/revoke.py [100]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.growth import CHECKOUT, grow  # noqa: E402
from sandbox.host import Host  # noqa: E402
from sandbox.sandbox import Sandbox  # noqa: E402


ROUNDS = 7
BACKEND = f"{CHECKOUT}/emis/manage.sh"
OURS = f"{BACKEND} people revoke grace --why benchmark"
BY_HAND = (
    "chage -E 0 grace; usermod -p '!' grace; rm /etc/ssh/opensafely_keys/grace; "
    "gpasswd -d grace developers; loginctl disable-linger grace; "
    "loginctl terminate-user grace; pkill -KILL -u grace"
)
BACK = f"{BACKEND} people readmit grace; {BACKEND} --offline"


def shut(host: Host, command: str) -> float:
    """Seconds from the command until the open session is gone, and no login is possible."""
    key = host.people["grace"].key
    argv = host.ssh_argv("grace", key, "echo in; exec sleep 600")
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as session:
        assert session.stdout
        assert session.stdout.readline() == b"in\n"
        began = time.monotonic()
        host.run(command, check=False)
        session.wait()
        took = time.monotonic() - began
    assert host.ssh("grace", key, "true", check=False).returncode == 255
    host.run(BACK, check=False)
    return took


def main() -> None:
    people = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with Sandbox() as sandbox:
        host = sandbox.warm("emis")
        grow(host, people)
        times: dict[str, list[float]] = {OURS: [], BY_HAND: []}
        for _ in range(ROUNDS):
            for command, found in times.items():
                found.append(shut(host, command))
    print(f"{people} developers, grace logged in; seconds until she is out for good")
    for name, found in zip(("people revoke", "by hand"), times.values()):
        print(
            f"{name:<14} median {statistics.median(found):.2f}  most {max(found):.2f}"
        )


if __name__ == "__main__":
    main()
