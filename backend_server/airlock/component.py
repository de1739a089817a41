"""Airlock, as this host runs it: its service, what its page is known by, and the window for reviewers."""

from __future__ import annotations

from typing import Iterator

from backend_server.airlock.declared import KEY, NAME, WORKDIR, service
from backend_server.airlock.page import Certificate
from backend_server.base.verbatim import by_timer, verbatim
from backend_server.checkout import Airlock, Site
from backend_server.checkout.service import BACKUPS, PAGE
from backend_server.engine.resource import Resource
from backend_server.resources import UNITS, Directory, File, Packages, SecretKey, Unit
from backend_server.services.component import container
from backend_server.storage.component import REVIEW_STATE
from backend_server.text.roles import OPENSAFELY


_WINDOW = "opensafely-airlock-window"
_TURNS = "/etc/opensafely/airlock-turns"


def airlock(site: Site, what: Airlock) -> Iterator[Resource]:
    """Whoever answers at its port has the certificate."""
    yield Packages("airlock", frozenset({"openssl", "rsync"}))
    yield Directory(PAGE)
    yield File(f"{PAGE}/name", f"{what.name}\n")  # for the window
    yield Certificate(what.name)
    yield from by_timer(site, "opensafely-certificate")
    yield Directory(WORKDIR, mode=0o700, owner=OPENSAFELY, group=OPENSAFELY)
    # While there is no copy, it is as old as this.
    yield Directory(f"{BACKUPS}/{NAME}", mode=0o700)
    yield Directory(REVIEW_STATE, mode=0o700, owner=OPENSAFELY, group=OPENSAFELY)
    yield SecretKey(KEY)
    yield from container(site, service(site.backend, what))
    for name in ("airlock-daily", "airlock-look", "review"):
        yield from by_timer(site, f"opensafely-{name}")


def window(site: Site) -> Iterator[Resource]:
    """What its windows have of the host: a way to the page, and nowhere else."""
    for kind in ("service", "socket"):
        yield verbatim(site, f"{UNITS}/{_WINDOW}.{kind}", notify=f"{_WINDOW}.{kind}")
    yield verbatim(site, _TURNS, mode=0o755, notify=f"{_WINDOW}.service")
    yield Unit(f"{_WINDOW}.socket")
    yield Unit(f"{_WINDOW}.service", enabled=None, running=None)
