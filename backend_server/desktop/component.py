"""A remote desktop for reviewers, and no way out of it."""

from __future__ import annotations

from typing import Iterator

from backend_server import resources
from backend_server.access import pam_profiles
from backend_server.base.component.firewall import limited
from backend_server.base.setting import NameServers, Sysctl
from backend_server.base.verbatim import filled, verbatim
from backend_server.checkout.gather import Site
from backend_server.desktop import xrdp
from backend_server.desktop.certificate import OwnCertificate
from backend_server.desktop.remote import SERVICE, RemoteDesktop
from backend_server.desktop.roots_socket import RootsSocket


# Where a desktop is, these files of etc/ are too.
FOLDERS = (
    *("/etc/xdg/", "/etc/pam.d/opensafely-", "/etc/sysctl.d/zz-opensafely-desktop"),
    *("/etc/dbus-1/system.d/opensafely.", "/etc/request-key.d/"),
    f"{resources.UNITS}/snapd",
)

# A new version of either ends the sessions that are open, or cannot come back to them.
# unattended-upgrades and needrestart leave them alone too: etc/apt, etc/needrestart.
HELD = frozenset({"xrdp", "xorgxrdp"})

# They answer questions over D-Bus, sockets or a port for anybody, and ask the network for it:
# for names, printers, packages, the time of day. nsresourced (systemd 256) gives whoever asks a
# network of their own, which the packet filter would not know as theirs.
_SPEAKERS = (
    *("systemd-resolved.service", "systemd-resolved-varlink.socket"),
    *("systemd-resolved-monitor.socket", "nscd.service", "nscd.socket"),
    *("avahi-daemon.service", "avahi-daemon.socket"),
    *("cups.service", "cups.socket", "cups.path", "cups-browsed.service"),
    *("packagekit.service", "geoclue.service"),
    *("udisks2.service", "systemd-nsresourced.service", "systemd-nsresourced.socket"),
    *("systemd-importd.service", "systemd-importd.socket"),
    "sshd-unix-local.socket",  # systemd 256: a door to sshd that no packet filter sees
)

# What keeps one session from all others. By a part of a file's name, not all releases need it.
WALLS = (
    f"{resources.UNITS}/xrdp",
    f"{resources.UNITS}/opensafely-sesman",
    "/etc/security/namespace.d/",
)
_FOLDERS = f"{WALLS[-1]}opensafely.conf"

# The window on Airlock's page shows HTML outputs too. Its engine goes with one version of Python's
# library, and of Python.
_PYTHON = ("python3.", "libpython3.")
_PROFILE, _LOADS = "/etc/apparmor.d/opensafely-airlock", "apparmor.service"
_OF_AIRLOCK = "/opensafely-airlock."

# snapd asks its store for whoever asks it. It is not masked: a provider's own way into a machine
# in a cloud may be a snap.
_SNAPD_SOCKETS = ("/run/snapd.socket", "/run/snapd-snap.socket")


def desktop(site: Site) -> Iterator[resources.Resource]:
    """What it may do is there before its package starts it for the first time."""
    yield resources.NoPackages("packages/no-desktop.txt", site.packages["no-desktop"])
    yield NameServers()  # before the service goes that knows them
    for unit in _SPEAKERS:
        yield resources.Masked(unit)
    notify = (SERVICE,)
    yield limited(site, "xrdp-sesman", SERVICE)
    address = site.backend.rdp_address
    yield resources.File(xrdp.INI, xrdp.ini(site, address), notify=notify)
    yield resources.File(xrdp.SESMAN_INI, xrdp.sesman(site), notify=notify)
    if site.backend.second_factor:
        names = site.packages["second-factor"]
        yield resources.Packages("packages/second-factor.txt", names)
        yield resources.Directory(pam_profiles.SECRETS, mode=0o700)
    if site.release.xrdp.pam_net:
        yield resources.Packages("pam_newnet", frozenset({"libpam-net"}))
    yield resources.File(pam_profiles.XRDP, pam_profiles.xrdp(site))
    for path in sorted(site.etc):
        wanted = site.backend.airlock or _OF_AIRLOCK not in path
        if wanted and path.startswith(FOLDERS):
            text = site.etc[path]
            yield verbatim(site, path, mode=0o755 if text.startswith("#!") else 0o644)
    if site.release.asks_for_userns:
        yield verbatim(site, _PROFILE, notify=_LOADS)
        yield resources.Unit(_LOADS, enabled=None, running=None, on_change="reload")
    for path in _SNAPD_SOCKETS:
        yield RootsSocket(path, unit="snapd.socket", service="snapd.service")
    # Whoever else had xrdp's port while it starts anew could keep it; of IPv6, too.
    yield Sysctl("net.ipv4.ip_unprivileged_port_start", str(xrdp.PORT + 1))
    yield from _walls(site)
    packages = resources.Packages("packages/desktop.txt", site.packages["desktop"])
    yield packages
    qt = frozenset({site.release.qt})
    yield resources.Packages("window", qt, upgrades=_PYTHON)
    yield resources.Held("desktop", HELD, packages.label)
    yield OwnCertificate(xrdp.CERTIFICATE, key=xrdp.KEY, group="xrdp")
    yield RemoteDesktop(SERVICE)


def _walls(site: Site) -> Iterator[resources.Resource]:
    keeps = site.release.xrdp
    flags = ",nosuid,nodev" if keeps.pam_flags else ""
    yield resources.File(_FOLDERS, filled(site, _FOLDERS, flags=flags))
    needless = ["-shared", "opensafely-sesman"] if keeps.apart else ["-apart"]
    needless += ["-ipc"] if keeps.private_ipc else []
    for path in sorted(p for p in site.etc if p.startswith(WALLS) and p != _FOLDERS):
        if any(part in path for part in needless):
            yield resources.NoFile(path, notify=(SERVICE,))
        else:
            notify = SERVICE if path.startswith(resources.UNITS) else ""
            yield verbatim(site, path, notify=notify)
