"""Accounts."""

from __future__ import annotations

import stat
from dataclasses import dataclass

from backend_server.change import Changes, compare, octal
from backend_server.errors import Refused
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.resource import Resource


@dataclass(frozen=True)
class User(Resource):
    """An account with its own group and a private home, locked from the moment it exists.

    `marker` is a group that the account is in from birth, which says that it is ours; an
    account of this name without it is somebody else's, and Refused. Only the uid is never
    changed afterwards: files would be left without an owner.
    """

    name: str
    home: str
    uid: int | None = None
    comment: str = ""
    shell: str = "/bin/bash"
    home_mode: int = 0o750
    marker: str | None = None

    def owns(self) -> tuple[str, ...]:
        return (self.label, self.home)

    def holds_others(self) -> bool:
        return True

    def check(self, host: HostReader) -> Changes:
        found = host.users().get(self.name)
        home = host.stat(self.home)
        if found is None:
            if home and home.st_uid != self.uid:
                self._refuse_home(host, home.st_uid)
            self._refuse_taken(host)
            return compare(
                name=(None, self.name),
                uid=(None, self.uid),
                home=(None, self.home),
                comment=(None, self.comment or None),
                shell=(None, self.shell),
                home_mode=(None, octal(self.home_mode)),
            )
        self._refuse_somebody_else(host, found.uid)
        if home and home.st_uid != found.uid:
            self._refuse_home(host, home.st_uid)
        mode = home and octal(stat.S_IMODE(home.st_mode))
        return compare(
            home=(found.home, self.home),
            comment=(found.comment, self.comment),
            shell=(found.shell, self.shell),
            home_mode=(mode, octal(self.home_mode)),
        )

    def apply(self, host: Host, changes: Changes) -> None:
        if self.name not in host.users():
            self._add(host)
            return
        changed = {change.field for change in changes}
        if "home" in changed:
            host.run("usermod", "--home", self.home, self.name)
        if "comment" in changed:
            host.run("usermod", "--comment", self.comment, self.name)
        if "shell" in changed:
            host.run("usermod", "--shell", self.shell, self.name)
        if "home_mode" in changed:
            self._close_home(host)

    def _close_home(self, host: Host) -> None:
        group = host.group_name(host.users()[self.name].gid)
        settle = host.set_access if host.stat(self.home) else host.make_directory
        settle(self.home, self.home_mode, self.name, group)

    def _add(self, host: Host) -> None:
        options = ["--create-home", "--home-dir", self.home]
        options += ["--key", f"HOME_MODE={octal(self.home_mode)}"]
        options += ["--shell", self.shell, "--comment", self.comment]
        if self.uid is None:
            options += ["--user-group"]
        else:  # its group has a fixed number too, and was made by a Group before
            options += ["--uid", str(self.uid), "--gid", self.name]
        if self.marker:
            options += ["--groups", self.marker]
        host.run("useradd", *options, self.name)

    def _refuse_home(self, host: HostReader, uid: int) -> None:
        raise Refused(
            f"{self.home} belongs to {host.user_name(uid)}; wanted it to be {self.name}'s",
            hint=f"look inside; then mv {self.home} {self.home}.old, "
            f"or chown -hR {self.name}: {self.home}",
        )

    def _refuse_taken(self, host: HostReader) -> None:
        if self.uid is None and self.name in host.groups():
            raise Refused(
                f"{self} wants a group of its own, but a group {self.name} is there",
                hint=f"see who uses it: getent group {self.name}; then groupdel it, "
                "or take the name off the roster",
            )
        for other in host.users().values():
            if other.uid == self.uid:
                raise Refused(
                    f"{self} wants uid {self.uid}, which is {other.name}'s",
                    hint=f"usermod -u ANOTHER {other.name}, then chown its files",
                )

    def _refuse_somebody_else(self, host: HostReader, uid: int) -> None:
        if self.uid not in (None, uid):
            raise Refused(
                f"{self} has uid {uid}, not {self.uid}",
                hint=f"stop its processes, usermod -u {self.uid} {self.name}, "
                "then chown its files",
            )
        if self.marker and self.name not in host.members(self.marker):
            raise Refused(
                f"account {self.name} is already on this host and was not made by this tool",
                hint=f"if it is the same person: usermod -aG {self.marker} {self.name}; "
                "else take the name off the roster",
            )
