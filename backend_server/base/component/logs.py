"""How long this host remembers, and how much room that takes."""

from __future__ import annotations

from typing import Iterator

from backend_server.base.verbatim import verbatim
from backend_server.checkout.gather import Site
from backend_server.engine.resource import Resource
from backend_server.resources import Unit


_JOURNALD = "systemd-journald.service"


def logs(site: Site) -> Iterator[Resource]:
    """The journal and our history survive a reboot, and are kept as long as declared."""
    journald = "/etc/systemd/journald.conf.d/opensafely.conf"
    yield verbatim(site, journald, notify=_JOURNALD)
    yield Unit(_JOURNALD)
    yield verbatim(site, "/etc/logrotate.d/opensafely")
