"""Airlock's page, as this host shows it: its certificate, and the window for reviewers."""

from __future__ import annotations

from typing import Iterator

from backend_server.airlock.page import FOLDER, Certificate
from backend_server.base.verbatim import by_timer, verbatim
from backend_server.checkout.backend import Airlock
from backend_server.checkout.gather import Site
from backend_server.engine.resource import Resource
from backend_server.resources import UNITS, Directory, File, Packages, Unit


_WINDOW = "opensafely-airlock-window"
_PROFILE = "/etc/apparmor.d/opensafely-airlock"
_LOADS, _PYTHON = "apparmor.service", ("python3.", "libpython3.")


def airlock(site: Site, what: Airlock) -> Iterator[Resource]:
    """Whoever answers at its port has the certificate; a window leads there and nowhere else."""
    yield Packages("airlock", frozenset({"openssl"}))
    yield Directory(FOLDER)
    yield File(f"{FOLDER}/name", f"{what.name}\n")  # for the window
    yield Certificate(what.name)
    yield from by_timer(site, "opensafely-certificate")
    if site.backend.rdp_address:
        yield from _window(site)


def _window(site: Site) -> Iterator[Resource]:
    # It goes with one version of Python's library, and of Python.
    yield Packages("window", frozenset({site.release.qt}), upgrades=_PYTHON)
    for kind in ("service", "socket"):
        yield verbatim(site, f"{UNITS}/{_WINDOW}.{kind}", notify=f"{_WINDOW}.{kind}")
    yield Unit(f"{_WINDOW}.socket")
    yield Unit(f"{_WINDOW}.service", enabled=None, running=None)
    if site.release.asks_for_userns:
        yield verbatim(site, _PROFILE, notify=_LOADS)
        yield Unit(_LOADS, enabled=None, running=None, on_change="reload")
