"""What commands of several families are asked besides `Asked` of run/place.py, and of which host."""

from __future__ import annotations

from backend_server.checkout.gather import Site
from backend_server.host.reader import HostReader
from backend_server.run import preflight
from backend_server.run.place import Asked, site
from backend_server.text.releases import of_host


class Named(Asked):
    """Of one thing or person in particular."""

    subject: str = ""


def of_host_itself(asked: Asked, host: HostReader) -> Site:
    """What the checkout says of this host. Raises Refused on another backend's."""
    found = site(asked, of_host(host.os_release()))
    preflight.same_backend(found, host)
    return found
