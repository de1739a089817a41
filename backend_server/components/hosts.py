"""Names that resolve on this host without any name server."""

from __future__ import annotations

from typing import Iterator

from backend_server.gather import Site
from backend_server.resource import Resource
from backend_server.resources import HostsBlock


# cloud-init makes /etc/hosts from this at each boot, where the provider told it to.
_TEMPLATE = "/etc/cloud/templates/hosts.debian.tmpl"


def hosts(site: Site) -> Iterator[Resource]:
    """The backend's pinned addresses; a file of the provider's keeps all its other lines."""
    yield HostsBlock("/etc/hosts", site.hosts)
    yield HostsBlock(_TEMPLATE, site.hosts, optional=True)
