"""A remote desktop for reviewers, and no way out of it."""

from __future__ import annotations

from typing import Iterator

from backend_server import pam, xrdp
from backend_server.components.verbatim import verbatim
from backend_server.gather import Site
from backend_server.resource import Resource
from backend_server.resources import (
    Directory,
    File,
    Held,
    Masked,
    NoPackages,
    OwnCertificate,
    Packages,
    RemoteDesktop,
)


# Where a desktop is, these files of etc/ are too.
FOLDERS = ("/etc/xdg/", "/etc/pam.d/")

SERVICE = "xrdp.service"

# They answer questions over D-Bus, sockets or a port for anybody, and ask the network for it.
_SPEAKERS = (
    *("systemd-resolved.service", "avahi-daemon.service", "avahi-daemon.socket"),
    *("cups.service", "cups.socket", "cups-browsed.service", "packagekit.service"),
    *("snapd.service", "snapd.socket", "udisks2.service", "geoclue.service"),
)


def desktop(site: Site) -> Iterator[Resource]:
    """What it may do is there before its package starts it for the first time."""
    yield NoPackages("packages/no-desktop.txt", site.packages["no-desktop"])
    for unit in _SPEAKERS:
        yield Masked(unit)
    notify = (SERVICE,)
    address = site.backend.rdp_address
    yield File(xrdp.INI, xrdp.ini(site.backend.title, address), notify=notify)
    yield File(xrdp.SESMAN_INI, xrdp.sesman(site.release.xrdp), notify=notify)
    if site.backend.second_factor:
        yield Packages("packages/second-factor.txt", site.packages["second-factor"])
        yield Directory(pam.SECRETS, mode=0o700)
    yield File(pam.XRDP, pam.xrdp(site.backend.second_factor))
    for path in sorted(site.etc):
        if path.startswith(FOLDERS):
            text = site.etc[path]
            yield verbatim(site, path, mode=0o755 if text.startswith("#!") else 0o644)
    packages = Packages("packages/desktop.txt", site.packages["desktop"])
    yield packages
    yield Held("desktop", frozenset({"xrdp", "xorgxrdp"}), packages.label)
    yield OwnCertificate(xrdp.CERTIFICATE, key=xrdp.KEY, group="xrdp")
    yield RemoteDesktop(SERVICE)
