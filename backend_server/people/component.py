"""Leavers, groups, an account for everybody on a roster, the keys that open it, and when access ends."""

from __future__ import annotations

from typing import Iterator

from backend_server.base.verbatim import by_timer
from backend_server.checkout import gather
from backend_server.checkout.keys import KEY_FOLDER
from backend_server.people.authorized_keys import AuthorizedKeys, OnlyTheseKeys
from backend_server.people.leavers import Leavers, LostRoles
from backend_server.resources import Group, Members, Resource, RootEquivalent, User
from backend_server.text import roles


def leavers(site: gather.Site) -> Iterator[Resource]:
    """Comes first: access is taken away before any is given, whatever else goes wrong."""
    # Neither the service nor the provider leaves, whatever groups somebody put them in.
    ours = gather.everybody(site.people) | {roles.OPENSAFELY}
    yield Leavers(roles.MARKER, ours | site.backend.provider_accounts)


def people(site: gather.Site) -> Iterator[Resource]:
    """Needs neither network nor packages, so that access can be taken away at any time."""
    yield from _groups()
    # Locked, with a shell: developers become it with `sudo -iu`, which keeps their name.
    name, home = roles.OPENSAFELY, f"/home/{roles.OPENSAFELY}"
    yield User(name, home=home, uid=roles.OPENSAFELY_ID, comment="runs the jobs")
    for name, day in sorted(gather.last_days(site).items()):
        # Whoever left and is back has no end of the past.
        expires = str(day or "never")
        yield User(name, home=f"/home/{name}", marker=roles.MARKER, expires=expires)
    for name in sorted(roles.ROOT_EQUIVALENT_GROUPS):  # take away before giving
        users = frozenset({roles.OPENSAFELY} if name == roles.DOCKER else ())
        yield RootEquivalent(name, users, site.backend.provider_accounts, roles.MARKER)
    sudoers = {entry.name for entry in gather.developers(site)}
    yield Members(roles.UNPRIVILEGED, gather.everybody(site.people) - sudoers)
    for role in roles.ROLES:
        # A role without people here, as where the provider manages them, is an empty group.
        yield Members(role.group, gather.in_role(site, role), offline=not role.network)
    yield LostRoles(roles.MARKER, gather.everybody(site.people))


def _groups() -> Iterator[Resource]:
    fixed = {
        roles.OPENSAFELY: roles.OPENSAFELY_ID,
        roles.REVIEWERS: roles.REVIEWERS_GID,
    }
    names = {roles.MARKER, roles.UNPRIVILEGED, *(r.group for r in roles.ROLES)}
    for name in sorted(names):
        yield Group(name, gid=fixed.get(name))
    # docker's package would make it, and has it then when it is first started.
    yield Group(roles.DOCKER, system=True)


def keys(site: gather.Site) -> Iterator[Resource]:
    """Needs neither network nor packages; whose name is off every roster has no file."""
    have = [name for name, found in (*site.github.items(), *site.keys.items()) if found]
    people = sorted(gather.everybody(site.people).intersection(have))
    yield OnlyTheseKeys(KEY_FOLDER, users=frozenset(people))
    for name in people:
        yield AuthorizedKeys(name, site.keys.get(name, ()), site.github.get(name, ()))


def narrowing(site: gather.Site) -> Iterator[Resource]:
    """Acts on what was applied last, and never on what lies in the checkout."""
    yield from by_timer(site, "opensafely-people")
