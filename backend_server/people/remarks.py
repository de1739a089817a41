"""What a person should know of the people here, and of those who were before it becomes ours."""

from __future__ import annotations

from typing import Iterator

from backend_server.access.sshd import OURS
from backend_server.checkout.gather import Site, developers, everybody, last_developers
from backend_server.host import HostReader
from backend_server.people import lookalikes, odd_lines
from backend_server.people.offers import Verdict
from backend_server.text.roles import MARKER, ROLES


def remarks(site: Site, host: HostReader, verdict: Verdict) -> Iterator[str]:
    """Sentences: names that look alike, keys that are left out, and ways in that hang by one key."""
    yield from odd_lines.notes(host)
    yield from lookalikes.notes(site, host)
    yield from _of_others(site, host)
    for name, left_out in sorted(verdict.left_out.items()):
        for why in left_out:
            yield f"{name} has a key at GitHub that is not let in: {why}"
    none = sorted(name for name in everybody(site.people) if not _keys(site, name))
    if none:
        yield f"no key at all: {', '.join(none)}; nobody can log in as them"
    single = sorted(e.name for e in developers(site) if _keys(site, e.name) == 1)
    if single:
        yield f"one key only: {', '.join(single)}; who loses it cannot log in any more"
    last = sorted(last_developers(site))
    if last:
        yield (
            f"every developer has an end date; {', '.join(last)} will keep access beyond the "
            "last one, as nobody else could look after this host"
        )
    if host.person() == "root" and "root" not in site.backend.provider_accounts:
        yield "you logged in as root, which over ssh is not possible after this run"


def _keys(site: Site, name: str) -> int:
    return len({*site.keys.get(name, ()), *site.github.get(name, ())})


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


def _of_others(site: Site, host: HostReader) -> Iterator[str]:
    for name, root in shut_out(site, host):
        more = ", though sudo lets them become root" if root else ""
        yield f"{name} logs in here today, and over ssh will not after this run{more}"
    here = {role.group for role in ROLES}.intersection(host.groups())
    for group in sorted(here) if MARKER not in host.groups() else ():
        them = " ".join(sorted(host.members(group))) or "nobody"
        yield f"the group {group}, which becomes ours, was here before, with {them} in it"
