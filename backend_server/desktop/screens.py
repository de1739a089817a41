"""Which remote desktops a client shows now; the others wait to be come back to."""

from __future__ import annotations

import re
from typing import Iterator

from backend_server.host import HostReader


# Of a line of /proc/net/unix, as in proc(5): its state, and then its path. xorgxrdp listens on
# a socket for each display, and a client's xrdp is connected to it for as long as it shows it.
_CONNECTED = re.compile(r" 03 +[0-9]+ \S*/xrdp_display_([0-9]+)$", re.MULTILINE)
_SCOPE = re.compile(r"/session-(\w+)\.scope$", re.MULTILINE)


def shown(host: HostReader) -> frozenset[str]:
    """The ids of these sessions, as systemd-logind has them."""
    displays = set(_CONNECTED.findall(host.read("/proc/net/unix") or ""))
    if not displays:
        return frozenset()
    return frozenset(name for name, display in _servers(host) if display in displays)


def _servers(host: HostReader) -> Iterator[tuple[str, str]]:
    """Of each X server in a session: the session's id, and the number of its display."""
    for pid in host.names("/proc"):
        if pid.isdigit():
            try:
                argv = (host.read(f"/proc/{pid}/cmdline") or "").split("\0")
                scope = _SCOPE.search(host.read(f"/proc/{pid}/cgroup") or "")
            except ProcessLookupError:  # ended while we looked
                continue
            if scope and argv[0].endswith("Xorg"):
                yield from ((scope[1], a[1:]) for a in argv if a.startswith(":"))
