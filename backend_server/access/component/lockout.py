"""Guessing is slow: after many wrong passwords an account takes none for a while."""

from __future__ import annotations

from typing import Iterator

from backend_server.access import pam_profiles
from backend_server.base.verbatim import verbatim
from backend_server.checkout.gather import Site
from backend_server.resources import UNITS, PamProfile, Resource, Unit


_COUNTS = "run-faillock.mount"


def lockout(site: Site) -> Iterator[Resource]:
    """On every way in that asks for a password: sudo, su, a console, the remote desktop."""
    yield verbatim(site, f"{UNITS}/{_COUNTS}", notify=_COUNTS)
    yield Unit(_COUNTS)
    for name, text, line in pam_profiles.LOCKOUT:
        yield PamProfile(name, text, line, used_in=pam_profiles.AUTH)
