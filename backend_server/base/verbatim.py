"""Files that the checkout's etc/ holds, installed as they are, or with values put in."""

from __future__ import annotations

from string import Template
from typing import Iterator

from backend_server.checkout.gather import Site
from backend_server.resources import UNITS, File, Resource, Unit, UnitFile


def verbatim(site: Site, path: str, *, mode: int = 0o644, notify: str = "") -> File:
    """PATH on the host holds what etc/ in the checkout has for it."""
    units = (notify,) if notify else ()
    kind = UnitFile if path.startswith(UNITS) else File
    return kind(path, site.etc[path], mode=mode, notify=units)


def filled(site: Site, path: str, **values: str) -> str:
    """What etc/ has for PATH, with these in place of each `$NAME`."""
    return Template(site.etc[path]).substitute(values)


def by_timer(site: Site, name: str, **values: str) -> Iterator[Resource]:
    """NAME.service runs when NAME.timer says, both as etc/ has them, but for these VALUES."""
    path, timer = f"{UNITS}/{name}.service", f"{name}.timer"
    yield UnitFile(path, filled(site, path, **values) if values else site.etc[path])
    yield verbatim(site, f"{UNITS}/{timer}", notify=timer)
    yield Unit(timer)
