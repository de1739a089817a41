"""Access that has ended is taken away, with nobody there to ask: never is any given."""

from __future__ import annotations

from datetime import date
from typing import Iterator

from backend_server.access.revoked_keys import RevokedKeys
from backend_server.access.sshd import REVOKED_KEYS
from backend_server.checkout import gather
from backend_server.engine.engine import Component, component
from backend_server.host import HostReader, revoked
from backend_server.people.authorized_keys import NoOtherKeys
from backend_server.people.leavers import Leavers, LostRoles
from backend_server.resources import NotMembers, Resource
from backend_server.text.roles import MARKER, ROLES


def remaining(site: gather.Site, host: HostReader, today: date) -> gather.Site:
    """Of what was applied last: without whose time is over, or who was revoked, since.

    The last developers stay, as their accounts do: see gather.last_developers.
    """
    site = gather.without(site, revoked.names(host), revoked.fingerprints(host))
    last = gather.last_developers(site)
    people = gather.only(site.people, lambda e: not e.over(today) or e.name in last)
    return site._replace(people=people)


def overdue(now: gather.Site, today: date) -> Iterator[str]:
    """A sentence for developers who are still let in only because there is nobody else."""
    late = sorted(e.name for e in gather.developers(now) if e.over(today))
    if late:
        yield (
            f"the time of {', '.join(late)} is over, and nobody else could look after this "
            "host: they keep their access until a run with another developer on the roster"
        )


def narrowing(
    before: gather.Site, now: gather.Site, host: HostReader
) -> tuple[Component, ...]:
    """Whoever is in `before` and not in `now` is a leaver; those who stay have no other keys.

    A person who is in neither is left alone: only a run by a person draws conclusions from
    what a roster does not say. What one resource cannot take away keeps no other back.
    """
    return tuple(component(r.label, (r,)) for r in _resources(before, now, host))


def _resources(
    before: gather.Site, now: gather.Site, host: HostReader
) -> Iterator[Resource]:
    stay = gather.everybody(now.people)
    gone = (gather.everybody(before.people) - stay) | revoked.names(host)
    yield RevokedKeys(REVOKED_KEYS)  # without it sshd would refuse every key
    yield Leavers(MARKER, host.members(MARKER) - gone)
    for role in ROLES:
        over = gather.in_role(before, role) - gather.in_role(now, role)
        if over & stay:
            yield NotMembers(role.group, over)
    yield LostRoles(MARKER, stay)
    for name in sorted(stay):
        keys = (*now.keys.get(name, ()), *now.github.get(name, ()))
        yield NoOtherKeys(name, frozenset(keys))
