"""Which keys open which account."""

from __future__ import annotations

from typing import Iterator

from backend_server.gather import Site
from backend_server.keys import FOLDER as KEY_FOLDER
from backend_server.resource import Resource
from backend_server.resources import AuthorizedKeys, OnlyTheseKeys


def keys(site: Site) -> Iterator[Resource]:
    """Needs neither network nor packages; whose name is off every roster has no file."""
    yield OnlyTheseKeys(KEY_FOLDER, frozenset(site.keys))
    for name in sorted(site.keys):
        yield AuthorizedKeys(name, site.keys[name])
