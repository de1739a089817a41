"""Single settings: of the kernel, or in a file that others own too."""

from __future__ import annotations

import re

from backend_server.engine import AtPath, Changes, Host, HostReader, Resource, compare


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


LOGIN_DEFS = "/etc/login.defs"


class LoginDefs(Resource):
    """A setting of login.defs(5) has this value; every other line stays as it is."""

    name: str
    value: str

    def check(self, host: HostReader) -> Changes:
        found: list[str] = re.findall(self._line, host.read(LOGIN_DEFS) or "")
        return compare(value=(found[-1] if found else None, self.value))

    def apply(self, host: Host, changes: Changes) -> None:
        _put(host, LOGIN_DEFS, self._line, f"{self.name}\t{self.value}\n")

    @property
    def _line(self) -> str:
        return rf"(?m)^[ \t]*{self.name}[ \t]+(\S+).*\n?"


NSSWITCH = "/etc/nsswitch.conf"


class NameSources(Resource):
    """A database of nsswitch.conf(5) is looked up in these sources, in this order."""

    database: str
    sources: tuple[str, ...]

    def check(self, host: HostReader) -> Changes:
        found: list[str] = re.findall(self._line, host.read(NSSWITCH) or "")
        # Of several that differ, glibc goes by the first or the last, as its version has it.
        each = dict.fromkeys(" ".join(words.split()) for words in found)
        return compare(sources=(", ".join(each), " ".join(self.sources)))

    def apply(self, host: Host, changes: Changes) -> None:
        line = f"{self.database}: {' '.join(self.sources)}\n"
        _put(host, NSSWITCH, self._line, line)

    @property
    def _line(self) -> str:
        return rf"(?m)^[ \t]*{self.database}:([^#\n]*).*\n?"


_UPSTREAM = "/run/systemd/resolve/resolv.conf"  # the servers that systemd-resolved asks
# A link to its files, or its address.
_LEADS_THERE = ("/systemd/resolve/", "127.0.0.53")
_KEPT = ("nameserver ", "search ", "options ")

RESOLVED, EACH_PROGRAM = "systemd-resolved", "each program"


class NameServers(AtPath):
    """resolv.conf(5) names servers that each program asks, and not systemd-resolved.

    On Ubuntu it leads to that service: without it nobody would answer, and after a reboot the
    link would lead nowhere. The file is given the servers that it asks, and then changes no
    more by itself. One that leads elsewhere is left alone.
    """

    path: str = "/etc/resolv.conf"
    asked_by: str = EACH_PROGRAM

    def check(self, host: HostReader) -> Changes:
        leads = host.link(self.path) or host.read(self.path) or ""
        stub = any(each in leads for each in _LEADS_THERE)
        return compare(asked_by=(RESOLVED if stub else EACH_PROGRAM, self.asked_by))

    def apply(self, host: Host, changes: Changes) -> None:
        lines = (host.read(_UPSTREAM) or "").splitlines(keepends=True)
        kept = "".join(line for line in lines if line.startswith(_KEPT))
        text = f"# Written by backend-server: the servers of {RESOLVED}.\n{kept}"
        host.write(self.path, text, 0o644)


def _put(host: Host, path: str, line: str, new: str) -> None:
    """Each of those is the new line, where it stands; where there was none, the last is."""
    text, replaced = re.subn(line, lambda _: new, host.read(path) or "")
    if not replaced:
        text += "\n" * (text[-1:] not in ("", "\n")) + new
    host.write(path, text, 0o644)
