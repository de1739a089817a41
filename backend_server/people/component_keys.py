"""Which keys open which account."""

from __future__ import annotations

from typing import Iterator

from backend_server.checkout.gather import Site, everybody
from backend_server.checkout.keys import FOLDER as KEY_FOLDER
from backend_server.engine.resource import Resource
from backend_server.people.authorized_keys import AuthorizedKeys, OnlyTheseKeys


def keys(site: Site) -> Iterator[Resource]:
    """Needs neither network nor packages; whose name is off every roster has no file."""
    have = [name for name, found in (*site.github.items(), *site.keys.items()) if found]
    people = sorted(everybody(site.people).intersection(have))
    yield OnlyTheseKeys(KEY_FOLDER, frozenset(people))
    for name in people:
        yield AuthorizedKeys(name, site.keys.get(name, ()), site.github.get(name, ()))
