"""People of others who are on this host before it becomes ours."""

from __future__ import annotations

from typing import Iterator

from backend_server.access.sshd import OURS
from backend_server.checkout.gather import Site, everybody
from backend_server.host import HostReader
from backend_server.text.roles import MARKER, ROLES


def shut_out(site: Site, host: HostReader) -> Iterator[tuple[str, bool]]:
    """Who logs in today, and over ssh will not any more; and whether sudo makes them root."""
    if host.stat(OURS):
        return
    from backend_server.people import reach

    stay = {"root", *site.backend.provider_accounts, *everybody(site.people)}
    for user in host.users().values():
        shadow = host.shadow().get(user.name)
        by_password = shadow and not (shadow.locked or shadow.never_set)
        comes = by_password or host.stat(f"{user.home}/.ssh/authorized_keys")
        shut = user.name in stay or user.shell.endswith(("/nologin", "/false"))
        if comes and not shut:
            there = host.stat("/usr/bin/sudo") is not None
            yield user.name, there and reach.becomes_root(host, user.name)


def notes(site: Site, host: HostReader) -> Iterator[str]:
    for name, root in shut_out(site, host):
        more = ", though sudo lets them become root" if root else ""
        yield f"{name} logs in here today, and over ssh will not after this run{more}"
    here = {role.group for role in ROLES}.intersection(host.groups())
    for group in sorted(here) if MARKER not in host.groups() else ():
        them = " ".join(sorted(host.members(group))) or "nobody"
        yield f"the group {group}, which becomes ours, was here before, with {them} in it"
