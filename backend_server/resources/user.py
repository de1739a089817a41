"""Accounts."""

from __future__ import annotations

import stat
from datetime import date, timedelta

from backend_server.engine import Changes, Refused, Resource, compare, octal
from backend_server.host import Host, HostReader, revoked
from backend_server.text.parsers import FIRST_PERSON, PasswdEntry, ShadowEntry
from backend_server.text.releases import of_host


_NEVER = "never"
_LONG_AGO = "1970-01-01"  # day 0 of shadow(5)


class User(Resource):
    """An account with its own group and a private home, locked from the moment it exists.

    An empty password, which lets anybody in, is never left: it is locked instead.

    `marker` is a group that the account is in from birth, which says that it is ours; an
    person's account without it is adopted, which a person must agree to; a system account
    is Refused. Uid and home are never changed afterwards: files would be left behind.
    `expires` is the day from which on it is shut, as 2027-01-31, or "never"; whoever is
    revoked stays shut.
    """

    holds_others = True
    name: str
    home: str
    uid: int | None = None
    comment: str = ""
    shell: str = "/bin/bash"
    home_mode: int = 0o750
    system: bool = False
    passwordless: bool = False
    marker: str | None = None
    expires: str | None = None

    def owns(self) -> tuple[str, ...]:
        return (self.label, self.home)

    def stands_alone(self) -> bool:
        return self.marker is not None

    def check(self, host: HostReader) -> Changes:
        found = host.users().get(self.name)
        if found:
            self._refuse_somebody_else(found)
        home = host.stat(self.home)
        if home and home.st_uid != (found.uid if found else self.uid):
            raise Refused(
                f"{self.home} belongs to {host.user_name(home.st_uid)}; wanted it to be "
                f"{self.name}'s",
                hint=f"mv -T {self.home} {self.home}.old",
            )
        if found is None:
            self._refuse_taken(host)
            host.refuse_known_elsewhere("passwd", self.name)
            if self.name not in host.groups():
                host.refuse_known_elsewhere("group", self.name)
            return compare(
                name=(None, self.name),
                uid=(None, self.uid),
                home=(None, self.home),
                comment=(None, self.comment or None),
                shell=(None, self.shell),
                home_mode=(None, octal(self.home_mode)),
                expires=(None, self.expires),
            )
        mode = home and octal(stat.S_IMODE(home.st_mode))
        shadow = host.shadow().get(self.name)
        open_ = shadow is not None and not shadow.password
        adopted = self.marker and self.name in host.members(self.marker)
        return compare(
            marker=(self.marker if adopted else None, self.marker),
            comment=(found.comment, self.comment),
            shell=(found.shell, self.shell),
            home_mode=(mode, octal(self.home_mode)),
            passwordless=(open_, self.passwordless),
            expires=(_expiry(shadow), self._until(host)),
        )

    def apply(self, host: Host, changes: Changes) -> None:
        if self.name not in host.users():
            self._add(host)
            if self._until(host) != self.expires:
                self._settle_expiry(host)
            return
        changed = {change.field for change in changes}
        if "marker" in changed:
            host.run("gpasswd", "--add", self.name, str(self.marker))
        if "comment" in changed:
            host.run("usermod", "--comment", self.comment, self.name)
        if "shell" in changed:
            host.run("usermod", "--shell", self.shell, self.name)
        if "passwordless" in changed:
            host.run("usermod", "--password", "!", self.name)
        if "expires" in changed:
            self._settle_expiry(host)
        if "home_mode" in changed:
            group = host.group_name(host.users()[self.name].gid)
            settle = host.set_access if host.stat(self.home) else host.make_directory
            settle(self.home, self.home_mode, self.name, group)

    def _until(self, host: HostReader) -> str | None:
        """The day from which on it is shut: long ago for whoever is revoked."""
        shut = self.expires and self.name in revoked.names(host)
        return _LONG_AGO if shut else self.expires

    def _settle_expiry(self, host: Host) -> None:
        day = None
        while day != self._until(host):  # somebody was revoked meanwhile
            day = self._until(host)
            until = "-1" if day == _NEVER else str(day)
            host.run("chage", "--expiredate", until, self.name)

    def _add(self, host: Host) -> None:
        options = ["--create-home", "--home-dir", self.home]
        options += ["--key", f"HOME_MODE={octal(self.home_mode)}"]
        # Nobody here needs any, and where none are left useradd would fail: lxd takes 1,000,000,000.
        given = of_host(host.os_release()).subids
        room = "MAX=4294000000" if given else "COUNT=0"
        options += ["--key", f"SUB_UID_{room}", "--key", f"SUB_GID_{room}"]
        options += ["--shell", self.shell, "--comment", self.comment]
        if self.system:
            options += ["--system", "--gid", self.name]
        elif self.uid is None:
            options += ["--user-group"]
        else:  # its group has a fixed number too, and was made by a Group before
            options += ["--uid", str(self.uid), "--gid", self.name]
        if self.expires:  # useradd's own default may be another
            day = "" if self.expires == _NEVER else self.expires
            options += ["--expiredate", day]
        if self.marker:
            options += ["--groups", self.marker]
        host.run("useradd", *options, self.name)

    def _refuse_taken(self, host: HostReader) -> None:
        fixed = self.uid is not None or self.system
        if not fixed and self.name in host.groups():
            raise Refused(
                f"{self} wants a group of its own, but a group {self.name} is there",
                hint=f"getent group {self.name}",
            )
        for other in host.users().values():
            if other.uid == self.uid:
                raise Refused(
                    f"{self} wants uid {self.uid}, which is {other.name}'s",
                    hint=f"usermod -u ANOTHER {other.name}, then chown its files",
                )

    def _refuse_somebody_else(self, found: PasswdEntry) -> None:
        if self.uid not in (None, found.uid):
            hint = f"usermod -u {self.uid} {self.name}"
            raise Refused(f"{self} has uid {found.uid}, not {self.uid}", hint)
        if found.home != self.home:
            hint = f"usermod --home {self.home} --move-home {self.name}"
            raise Refused(f"{self} has its home at {found.home}, not {self.home}", hint)
        if self.marker and found.uid < FIRST_PERSON:
            raise Refused(
                f"{self} is an account of the system, with uid {found.uid}",
                hint="take the name off the roster",
            )


def _expiry(shadow: ShadowEntry | None) -> str:
    if shadow is None or shadow.expires is None:
        return _NEVER
    try:
        return str(date(1970, 1, 1) + timedelta(days=shadow.expires))
    except OverflowError:
        return f"day {shadow.expires}"
