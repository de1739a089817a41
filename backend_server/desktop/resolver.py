"""Where the host's own programs ask for names."""

from __future__ import annotations

from backend_server.engine import AtPath, Changes, Host, HostReader, compare


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
