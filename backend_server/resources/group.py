"""Unix groups, and who is in them."""

from __future__ import annotations

import contextlib

from backend_server.engine import Changes, CommandFailed, Refused, Resource, compare
from backend_server.host import Host, HostReader, revoked
from backend_server.text import networks
from backend_server.text.parsers import FIRST_PERSON
from backend_server.text.roles import MARKER


# A file for each person of ours who has lost a group, until nothing of before goes on. A boot
# ends that too, and no disk that is full keeps anybody in a group.
LOST = "/run/opensafely/lost"
_NAMED = "provider_accounts of the backend's backend.py names those"


class Group(Resource):
    """A group. Set gid only where an image or a share has the number baked in.

    A package that wants to make a group takes one that is here only if it is a `system` one.
    """

    name: str
    gid: int | None = None
    system: bool = False

    def check(self, host: HostReader) -> Changes:
        found = host.groups().get(self.name)
        if found is None:
            self._refuse_taken_gid(host)
            host.refuse_known_elsewhere("group", self.name)
            return compare(name=(None, self.name), gid=(None, self.gid))
        if self.gid not in (None, found.gid):
            # groupmod renumbers the group but not its files, which nobody would own.
            raise Refused(
                f"{self} has gid {found.gid}, not {self.gid}",
                hint=f"groupmod -g {self.gid} {self.name}; "
                f"find / -xdev -gid {found.gid} -exec chgrp -h {self.name} {{}} +",
            )
        return ()

    def apply(self, host: Host, changes: Changes) -> None:
        gid = () if self.gid is None else ("--gid", str(self.gid))
        system = ("--system",) if self.system else ()
        host.run("groupadd", *system, *gid, self.name)

    def _refuse_taken_gid(self, host: HostReader) -> None:
        for other in host.groups().values():
            if other.gid == self.gid:
                raise Refused(
                    f"{self} wants gid {self.gid}, which is {other.name}'s",
                    hint=f"groupmod -g ANOTHER {other.name}, then chgrp its files",
                )


class _Membership(Resource):
    """Who is in a group: one resource decides it."""

    group: str
    users: frozenset[str]

    def owns(self) -> tuple[str, ...]:
        return (f"Members {self.group}",)


class Members(_Membership):
    """Exactly who is in a group: off this list, or revoked, means out of the group.

    `offline` takes the network before the group is given: the rules come later in a run.
    """

    offline: bool = False

    def notifies(self) -> tuple[str, ...]:
        """The bus has rules for them, and up to dbus 1.12 knows nobody's groups anew by itself."""
        return ("dbus.service",) if self.offline else ()

    def check(self, host: HostReader) -> Changes:
        found, wanted = host.members(self.group), self._wanted(host)
        _refuse_primary(self.group, self.users, host)
        return () if found == wanted else compare(users=(found, wanted))

    def apply(self, host: Host, changes: Changes) -> None:
        wanted = None
        while wanted != self._wanted(host):  # somebody was revoked meanwhile
            wanted = self._wanted(host)
            for name in wanted - host.members(self.group) if self.offline else ():
                _cut_off(host, host.users()[name].uid)
            _settle(host, self.group, host.members(self.group), wanted)

    def _wanted(self, host: HostReader) -> frozenset[str]:
        """Whose account could not be made is in no group, which holds up nobody else."""
        users = self.users - revoked.names(host)
        return frozenset(filter(host.will_have_account, users))


class NotMembers(_Membership):
    """None of these is in the group any more; all others are left alone."""

    def check(self, host: HostReader) -> Changes:
        found = host.members(self.group)
        return compare(users=(found, found - self.users))

    def apply(self, host: Host, changes: Changes) -> None:
        found = host.members(self.group)
        _settle(host, self.group, found, found - self.users)


class RootEquivalent(_Membership):
    """A group whose members can become root holds, of all people, exactly these.

    System accounts and the provider's are left alone. Accounts that carry the `marker` group
    are ours to take out. Any other person in it, one that sssd or LDAP knows too, is Refused:
    taking a stranger's root away unasked could be the provider's only way in. So is another
    account with root's own number. A group that is not there is fine.
    """

    provider: frozenset[str]
    marker: str

    def check(self, host: HostReader) -> Changes:
        if self.group == "root":
            _refuse_roots_number(self.provider, host)
        made_before = host.planned(f"Group {self.group}")
        if self.group not in host.groups() and not made_before:
            return ()
        _refuse_primary(self.group, self.users | self.provider, host)
        found = self._people(host)
        # By this run.
        adopted = {name for name in found if host.planned(f"User {name}")}
        for name in sorted(found - self.users - host.members(self.marker) - adopted):
            if _is_somebody(name, host):
                raise Refused(
                    f"{name} is in group {self.group}, which is as good as root, and is "
                    f"neither on a roster nor a provider account ({_NAMED})",
                    hint=f"gpasswd --delete {name} {self.group}",
                )
        return compare(users=(found, self.users)) if found != self.users else ()

    def apply(self, host: Host, changes: Changes) -> None:
        _settle(host, self.group, self._people(host), self.users)

    def _people(self, host: HostReader) -> frozenset[str]:
        """Names without an account count: whoever gets one later would be root at once."""
        users = host.users()
        return frozenset(
            name
            for name in host.members(self.group) - self.provider
            if name not in users or users[name].uid >= FIRST_PERSON
        )


def _refuse_roots_number(provider: frozenset[str], host: HostReader) -> None:
    roots = (user.name for user in host.users().values() if user.uid == 0)
    for name in sorted({*roots} - provider - {"root"}):
        raise Refused(
            f"{name} has uid 0 in /etc/passwd, so it is root, and no provider account "
            f"({_NAMED})",
            hint=f"sed -i '/^ *{name}:/d' /etc/passwd",
        )


def _is_somebody(name: str, host: HostReader) -> bool:
    """A name that no source knows may be one whose source is away."""
    known = name in host.users() or host.has_directory()
    return known or host.known_elsewhere("passwd", name)


def _settle(
    host: Host, group: str, found: frozenset[str], wanted: frozenset[str]
) -> None:
    for user in sorted(found - wanted):  # take away before you give
        note_lost(host, user, group)
        host.run("gpasswd", "--delete", user, group)
    for user in sorted(wanted - found):
        host.run("gpasswd", "--add", user, group)


def _cut_off(host: Host, uid: int) -> None:
    """Where there are no rules yet, there is no crontab of theirs either."""
    element = ("inet", networks.TABLE, "reviewers", f"{{ {uid} }}")
    with contextlib.suppress(CommandFailed):
        host.run("nft", "add", "element", *element)


def note_lost(host: Host, user: str, group: str = "") -> None:
    """Of an account of ours: whenever this run is killed, the next ends what was begun before."""
    if user in host.members(MARKER).intersection(host.users()):
        before = host.read(f"{LOST}/{user}") or ""
        host.write(f"{LOST}/{user}", f"{before}{group}\n", 0o600)


def _refuse_primary(group: str, users: frozenset[str], host: HostReader) -> None:
    """Membership by passwd's gid field is no line in /etc/group, and gpasswd cannot end it."""
    found = host.groups().get(group)
    for user in host.users().values() if found else ():
        stray = user.gid == found.gid and user.name not in {*users, group}  # type: ignore[union-attr]
        if stray and user.uid >= FIRST_PERSON:
            raise Refused(
                f"group {group} is the primary group of {user.name}, who should not be in it",
                hint=f"groupadd -f {user.name}; usermod -g {user.name} {user.name}",
            )
