"""Who gets at which part of a reviewer's desktop: docs/access.md shows it, a host is tried by it."""

from __future__ import annotations

from typing import AbstractSet

from backend_server.text.releases import Release


OWNER = "owner"
# By its name in neighbour.py: what it is.
PARTS = {
    "screen and keys": "the X server: all that is shown and typed",
    "picture": "the picture of the screen, in memory that X shares with xrdp",
    "sockets": "those of xrdp, X and its channels",
    "bus": "the D-Bus session bus",
    "files": "what lies in /tmp, /var/tmp and /dev/shm",
}


def touched(who: str, release: Release) -> AbstractSet[str]:
    """What somebody of a role gets of another's desktop, and its owner of their own."""
    shared: AbstractSet[str] = set() if release.xrdp.apart else {"picture"}
    if who == OWNER:
        return ({*PARTS} - {"picture"}) | shared
    return shared if who == "reviewer" else set()
