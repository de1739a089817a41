"""Where another machine's file system is mounted."""

from __future__ import annotations

import stat

from backend_server.engine import AtPath, Changes, Host, HostReader, compare
from backend_server.host.mounts import is_immutable, is_mounted
from backend_server.resources import Unit


class MountPoint(AtPath):
    """A folder that not even root can write to while nothing is mounted on it.

    Else what is meant for the share would fill this host's own disk, and be lost to whoever
    waits for it. What is mounted there is never touched: its server may be gone.
    """

    immutable: bool = True

    def check(self, host: HostReader) -> Changes:
        if is_mounted(host, self.path):
            return ()  # it was made immutable before, and cannot be seen now
        found = host.stat(self.path)
        if found is not None and not stat.S_ISDIR(found.st_mode):
            raise self.in_the_way("is there and is no directory")
        if found is not None and host.names(self.path):
            raise self.in_the_way("is to be a mount point, and has something in it")
        return compare(
            path=(found and self.path, self.path),
            immutable=(is_immutable(host, self.path), self.immutable),
        )

    def apply(self, host: Host, changes: Changes) -> None:
        if host.stat(self.path) is None:
            host.make_directory(self.path, 0o700, "root", "root")
        host.run("chattr", "+i" if self.immutable else "-i", self.path)


class Automount(Unit):
    """A unit that mounts when somebody looks; only enabled where the kernel cannot do that.

    In a container it cannot: there the next boot on a machine starts it.
    """

    def check(self, host: HostReader) -> Changes:
        if host.stat("/dev/autofs") is None:
            return compare(enabled=(self._enabled(host), self.enabled))
        return super().check(host)
