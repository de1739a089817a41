"""Names that resolve on this host without any name server."""

from __future__ import annotations

from typing import Iterator

from backend_server.base.hosts_block import HostsBlock
from backend_server.base.setting import NameSources
from backend_server.base.verbatim import verbatim
from backend_server.checkout.gather import Site
from backend_server.resources import Masked, Resource


# cloud-init makes /etc/hosts from this at each boot, where the provider told it to.
_TEMPLATE = "/etc/cloud/templates/hosts.debian.tmpl"


def hosts(site: Site) -> Iterator[Resource]:
    """The backend's pinned addresses; a file of the provider's keeps all its other lines."""
    yield HostsBlock("/etc/hosts", site.hosts)
    yield HostsBlock(_TEMPLATE, site.hosts, optional=True)
    if not site.backend.dns:
        # No program asks a name server, whatever the network says of one at each boot.
        yield NameSources("hosts", ("files", "myhostname"))
        # It hears of them from DHCP, and answers on D-Bus whoever does not ask glibc.
        yield Masked("systemd-resolved.service")
        # Without a nameserver line glibc asks 127.0.0.1, and nobody listens there.
        yield verbatim(site, "/etc/resolv.conf")
        yield verbatim(site, "/etc/dhcp/dhclient-enter-hooks.d/opensafely")
