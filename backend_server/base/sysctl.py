"""Kernel parameters."""

from __future__ import annotations

from backend_server.engine import Changes, Host, HostReader, Resource, compare


class Sysctl(Resource):
    """A running kernel has this value of sysctl(8). That it has it after a reboot is a File's.

    Where /proc/sys cannot be written, as in a container, the kernel is not this host's and
    nothing is wanted of it.
    """

    name: str
    value: str

    @property
    def path(self) -> str:
        return "/proc/sys/" + self.name.replace(".", "/")

    def check(self, host: HostReader) -> Changes:
        found = host.read(self.path)
        if found is None or not host.writable(self.path):
            return ()
        return compare(value=(" ".join(found.split()), self.value))

    def apply(self, host: Host, changes: Changes) -> None:
        host.run("sysctl", "--quiet", "--write", f"{self.name}={self.value}")
