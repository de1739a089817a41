"""What people meet when they log in: whose host it is, and sessions that end."""

from __future__ import annotations

from typing import Iterator

from backend_server.base.last_word import settled
from backend_server.base.setting import LoginDefs
from backend_server.base.verbatim import filled, verbatim
from backend_server.checkout.gather import Site
from backend_server.resources import File, FileMode, PamProfile, Resource, Unit


_LOGIND = "systemd-logind.service"
_SLICES = "/etc/systemd/system/user{}.slice.d/opensafely-{}.conf"

# Debian 12's common-session has no pam_umask, so UMASK in login.defs alone does nothing
# over ssh. nousergroups: else a person's own group would get 007 instead of 027.
_UMASK_LINE = "session optional pam_umask.so umask=027 nousergroups"
_UMASK_PROFILE = """\
Name: OpenSAFELY: new files are closed to others
Default: yes
Priority: 0
Session-Type: Additional
Session:
\toptional\tpam_umask.so umask=027 nousergroups
"""


def login(site: Site) -> Iterator[Resource]:
    """The backend's name before and after login; umask 027; idle shells end."""
    name, title = site.backend.name, site.backend.title
    banner = filled(site, "/etc/issue", name=name, title=title)
    for path in ("/etc/issue", "/etc/issue.net", "/etc/motd"):
        yield File(path, banner)
    for part in site.release.motd_parts:
        yield FileMode(f"/etc/update-motd.d/{part}", mode=0o644)  # run-parts skips it
    yield LoginDefs("UMASK", "027")
    yield LoginDefs("HOME_MODE", "0750")
    yield PamProfile("opensafely-umask", _UMASK_PROFILE, line=_UMASK_LINE)
    yield verbatim(site, "/etc/profile.d/opensafely.sh")
    logind = "/etc/systemd/logind.conf.d/opensafely.conf"
    yield from settled(site, logind, "systemd/logind.conf", _LOGIND)
    yield Unit(_LOGIND, enabled=None)
    yield verbatim(site, _SLICES.format("", "people"))
    yield verbatim(site, _SLICES.format("-", "person"))
