"""Files, links, and their absence; and files of systemd's."""

from __future__ import annotations

import os
import stat

from backend_server.engine import AtPath, Host, HostReader
from backend_server.text.change import Change, Changes, compare, octal


UNITS = "/etc/systemd/system"


class File(AtPath):
    """A file with exactly this text, owner, group and mode.

    `validate` is a command that is given the candidate's path and must end with 0 before the
    candidate replaces the file. `notify` names the units that read it only at a reload.
    """

    text: str
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"
    validate: tuple[str, ...] = ()
    notify: tuple[str, ...] = ()

    def notifies(self) -> tuple[str, ...]:
        return self.notify

    def check(self, host: HostReader) -> Changes:
        found, text = host.stat(self.path), None
        if found:
            _refuse_directory(self, found)
            text = host.read(self.path) if stat.S_ISREG(found.st_mode) else None
        changes = compare(text=(text, self.text))
        changes += access(host, found, self.owner, self.group, self.mode)
        if changes:
            host.refuse_unreachable(self.path)
        return changes

    def apply(self, host: Host, changes: Changes) -> None:
        judge = host.judged_by(*self.validate) if self.validate else None
        host.write(self.path, self.text, self.mode, self.owner, self.group, judge)


class UnitFile(File):
    """A file of systemd's with exactly this text, which systemd has read.

    `notify` names the units that must be started anew besides, for a change to have effect.
    """

    loaded: str = "done"

    @property
    def _reload(self) -> str:
        """Each file has a mark of its own, or reloading for one would hide another's."""
        return "daemon-reload." + self.path.rpartition("/")[2]

    def check(self, host: HostReader) -> Changes:
        loaded = (host.notice(self._reload), self.loaded)
        return super().check(host) + compare(loaded=loaded)

    def apply(self, host: Host, changes: Changes) -> None:
        host.mark_pending(self._reload, self.label)
        super().apply(host, changes)
        host.run("systemctl", "daemon-reload")
        host.clear_pending(self._reload)


class FileMode(AtPath):
    """A file that something else brings has this mode, wherever it is there at all."""

    mode: int

    def check(self, host: HostReader) -> Changes:
        found = host.stat(self.path)
        if found is None or not stat.S_ISREG(found.st_mode):
            return ()
        return compare(mode=(octal(stat.S_IMODE(found.st_mode)), octal(self.mode)))

    def apply(self, host: Host, changes: Changes) -> None:
        host.set_mode(self.path, self.mode)


class NoFile(AtPath):
    """No file or link at this path."""

    notify: tuple[str, ...] = ()

    def notifies(self) -> tuple[str, ...]:
        return self.notify

    def check(self, host: HostReader) -> Changes:
        found = host.stat(self.path)
        if found is None:
            return ()
        _refuse_directory(self, found)
        host.refuse_unreachable(self.path)
        return (Change("path", self.path, None),)

    def apply(self, host: Host, changes: Changes) -> None:
        host.remove(self.path)


def access(
    host: HostReader, found: os.stat_result | None, owner: str, group: str, mode: int
) -> Changes:
    """How owner, group and mode of what was found differ from what is wanted."""
    return compare(
        mode=(found and octal(stat.S_IMODE(found.st_mode)), octal(mode)),
        owner=(found and host.user_name(found.st_uid), owner),
        group=(found and host.group_name(found.st_gid), group),
    )


def _refuse_directory(resource: AtPath, found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise resource.in_the_way(f"is a directory; wanted {type(resource).__name__}")
