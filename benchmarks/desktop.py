#!/usr/bin/python3
"""From a client's connecting to a desktop that can be used, next to the distribution's own session.

Both on one emis host, with the same client, programs and password. The distribution's own is what
xrdp starts where nothing is configured, /etc/xrdp/startwm.sh. Usable means that the client's screen
shows the desktop and does not change any more; the second in which it did not is taken off. A
return is to a session that is open.

sudo benchmarks/desktop.py [3]
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sandbox.host import Host  # noqa: E402
from sandbox.sandbox import Sandbox  # noqa: E402
from tests.hosts.desktop.desktops import PASSWORD, end_all, host_with_desktop  # noqa: E402
from tests.hosts.desktop.remote import looking  # noqa: E402


LIMIT_S = 120
SETTLED_S = 1
THEIRS = (
    "sed -i 's#^DefaultWindowManager=.*#DefaultWindowManager=startwm.sh#' /etc/xrdp/sesman.ini; "
    "systemctl restart xrdp-sesman xrdp"
)


def desktop_of(host: Host) -> set[str]:
    return set(host.run("ps -u gus -o comm=", check=False).stdout.split())


def usable(host: Host) -> float:
    """Seconds until the screen shows all of it and rests."""
    began = time.monotonic()
    with looking(host, "gus", PASSWORD) as client:
        while time.monotonic() - began < LIMIT_S:
            there = {"xfdesktop", "xfce4-panel"} <= desktop_of(host)
            if there and client.still():
                return time.monotonic() - began - SETTLED_S
    raise SystemExit(f"no desktop within {LIMIT_S} s")


def times(host: Host, rounds: int) -> tuple[list[float], list[float]]:
    first, again = [], []
    for _ in range(rounds):
        first.append(usable(host))
        again.append(usable(host))
        end_all(host)
    return first, again


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with Sandbox() as sandbox:
        host = host_with_desktop(sandbox.warm)
        ours = times(host, rounds)
        host.run(THEIRS)
        theirs = times(host, rounds)
    for name, (first, again) in (("ours", ours), ("startwm.sh", theirs)):
        print(
            f"{name:<10} first: median {statistics.median(first):.1f} s, most {max(first):.1f}"
            f"   return: median {statistics.median(again):.1f} s, most {max(again):.1f}"
        )


if __name__ == "__main__":
    main()
