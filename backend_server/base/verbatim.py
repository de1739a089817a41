"""Files that the checkout's etc/ holds, installed as they are."""

from __future__ import annotations

from backend_server.checkout.gather import Site
from backend_server.resources import UNITS, File, UnitFile


def verbatim(site: Site, path: str, *, mode: int = 0o644, notify: str = "") -> File:
    """PATH on the host holds what etc/ in the checkout has for it."""
    units = (notify,) if notify else ()
    kind = UnitFile if path.startswith(UNITS) else File
    return kind(path, site.etc[path], mode=mode, notify=units)
