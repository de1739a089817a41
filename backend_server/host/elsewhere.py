"""Names that are taken in a source of accounts that is not this host's own files."""

from __future__ import annotations

from backend_server.host.asking import Directory
from backend_server.host.reader import HostReader
from backend_server.text.errors import Refused


def refuse_known_elsewhere(host: HostReader, kind: Directory, name: str) -> None:
    """Raise Refused where our new account or group would have a namesake, as in sssd or LDAP."""
    if host.known_elsewhere(kind, name):
        raise Refused(
            f"{name} is not in /etc/{kind}, but another source has that name, or does "
            "not answer; wanted a name that is nobody's yet",
            hint=f"getent {kind} {name}; /etc/nsswitch.conf says which sources there "
            "are; take the name off the roster, or out of that source",
        )
