"""How long this host remembers, and how much room that takes."""

from __future__ import annotations

from typing import Iterator

from backend_server.base.last_word import settled
from backend_server.base.verbatim import verbatim
from backend_server.checkout.gather import Site
from backend_server.resources import UNITS, Acl, Resource, Unit
from backend_server.text.roles import UNPRIVILEGED


_JOURNALD = "systemd-journald.service"
_AUTH_LOG = "opensafely-auth-log.path"
_ACCESS = "user::{0} group::{1} group:{3}:--- mask::{1} other::{2}"
# journald's sockets are in the first; etc/tmpfiles.d/opensafely.conf has the same for each boot.
_SHUT = {
    "/run/systemd/journal": ("rwx", "r-x", "r-x"),
    "/run/systemd/notify": ("rwx", "rwx", "rwx"),
    "/run/systemd/userdb": ("rwx", "r-x", "r-x"),
}
# By the name that this release's init has for it, where it has one.
_INITS = ("io.system.ManagedOOM", "io.systemd.ManagedOOM")
_BUS = "/etc/dbus-1/system.d/opensafely-init.conf"
_LOGINS = ("/run/utmp", "/var/log/wtmp", "/var/log/lastlog")
_READY = f"{UNITS}/user@.service.d/opensafely-ready.conf"


def logs(site: Site) -> Iterator[Resource]:
    """The journal and our history survive a reboot, and are kept as long as declared.

    Whoever has no sudo writes nothing to the journal, or could push out what is there, nor to
    init, which would do nothing else, nor has a lock on what logins are written to. What
    sshd, sudo and we said goes to a file of its own before journald gives up any.
    """
    journald = "/etc/systemd/journald.conf.d/opensafely.conf"
    yield from settled(site, journald, "systemd/journald.conf", _JOURNALD)
    yield Unit(_JOURNALD)
    yield verbatim(site, "/etc/tmpfiles.d/opensafely.conf")
    yield verbatim(site, _BUS)
    yield verbatim(site, _READY)
    yield verbatim(site, f"{UNITS}/logrotate.service.d/opensafely.conf")
    logins = dict.fromkeys(_LOGINS if site.release.utmp else (), ("rw-", "rw-", "r--"))
    inits = {f"/run/systemd/{name}": ("rw-", "rw-", "rw-") for name in _INITS}
    for path, modes in {**_SHUT, **logins, **inits}.items():
        access = _ACCESS.format(*modes, UNPRIVILEGED)
        yield Acl(path, access=frozenset(access.split()), wanted=path not in inits)
    yield verbatim(site, f"{UNITS}/opensafely-auth-log.service")
    yield verbatim(site, f"{UNITS}/{_AUTH_LOG}", notify=_AUTH_LOG)
    yield Unit(_AUTH_LOG)
    yield verbatim(site, "/etc/logrotate.d/opensafely")
