"""Guessing is slow: after many wrong passwords an account takes none for a while."""

from __future__ import annotations

from typing import Iterator

from backend_server import pam
from backend_server.gather import Site
from backend_server.resource import Resource
from backend_server.resources import PamProfile


def lockout(site: Site) -> Iterator[Resource]:
    """On every way in that asks for a password: sudo, su, a console, the remote desktop."""
    for name, text, line in pam.LOCKOUT:
        yield PamProfile(name, text, line, used_in=pam.AUTH)
