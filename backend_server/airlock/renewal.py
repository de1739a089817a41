"""Certificates from elsewhere: one that somebody puts here, and those that follow it."""

from __future__ import annotations

import contextlib
import re
import tempfile
from typing import Callable, Iterator

from backend_server.airlock import page
from backend_server.airlock.page import AUTHORITY, CERTIFICATE
from backend_server.checkout.gather import Site
from backend_server.host import Host
from backend_server.text.errors import UserError
from backend_server.text.parsers import parse_hosts


SITE = "backends.opensafely.org"  # shows what is in force for all backends
_PATIENCE_S = 30
_PEM = re.compile(r"-----BEGIN ([A-Z ]+)-----\n.*?-----END \1-----\n", re.DOTALL)


def put(host: Host, name: str, text: str, said: Callable[[str], object] = bool) -> str:
    """This key and certificate are the page's, with the chain that comes after. Says so.

    And SAID is told once they are judged, before anything is laid.
    """
    key, chain = _blocks(text, "PRIVATE KEY"), _blocks(text, "CERTIFICATE")
    with _written(chain) as new, _written(key) as its:
        page.ends(name, new, key=its)
    done = f"the page shows this certificate for {name}"
    said(done)
    page.put(host, chain, key)
    return done


def renew(site: Site, host: Host, name: str) -> str:
    """What is shown elsewhere is taken if it is for this host's key, good, and ends later."""
    page.take(host)  # of somebody who was killed
    if host.stat(AUTHORITY):
        own = page.Certificate(name)
        if not own.check(host):
            return "the host's own certificate holds"
        page.make(host, name)
        return "the host has made itself a new certificate"
    address = parse_hosts(site.hosts).get(SITE, SITE)
    asked = ("openssl", "s_client", "-showcerts", "-connect", f"{address}:443")
    said = host.run(*asked, "-servername", SITE, deadline_s=_PATIENCE_S)
    chain = _blocks(said, "CERTIFICATE")
    with _written(chain) as new:
        later = page.ends(name, new)
    with contextlib.suppress(UserError):  # one that is no good any more ends no later
        if page.ends(name, CERTIFICATE) >= later:
            return f"{SITE} shows none that ends later"
    page.lay(host, chain)
    return f"the page shows a new certificate for {name}"


def _blocks(text: str, kind: str) -> str:
    return "".join(found[0] for found in _PEM.finditer(text) if kind in found[1])


@contextlib.contextmanager
def _written(text: str) -> Iterator[str]:
    """Where it can be read by a path, in memory."""
    with tempfile.NamedTemporaryFile("w", dir="/run") as file:
        file.write(text)
        file.flush()
        yield file.name
