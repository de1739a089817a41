"""Which programs listen at which TCP ports."""

from __future__ import annotations

import re
from typing import Iterator

from backend_server.host.reader import HostReader


_STREAM = re.compile(r"(\S+):([0-9]+) \(Stream\)")  # of a socket unit's addresses
# Of ss(8). What stands behind the inode can be anybody's word: a control group's name.
_LISTENS = re.compile(r"(?m)^LISTEN +\S+ +\S+ +(\S+):([0-9]+) +\S+:\*.*? ino:([0-9]+)")


def ports(host: HostReader, service: str, socket: str = "") -> set[str]:
    """Where a service's own process listens, or systemd for it."""
    return {port for _, port in addresses(host, service, socket)}


def addresses(host: HostReader, service: str, socket: str = "") -> set[tuple[str, str]]:
    """The same with the address of each port; `*`, 0.0.0.0 and :: are all there are."""
    own = _sockets(host, host.unit(service).get("MainPID", "0"))
    found = {place for place, each in _listening(host) if each in own}
    unit = host.unit(socket) if socket else {}
    if unit.get("ActiveState") == "active":
        found.update(_STREAM.findall(unit.get("Listen", "")))
    return {(re.sub(r"[][]", "", address), port) for address, port in found}


def holders(host: HostReader, port: str) -> list[str]:
    """The ids of all processes that have a port, whatever they call themselves."""
    taken = {socket for (_, number), socket in _listening(host) if number == port}
    pids = filter(str.isdigit, host.names("/proc"))
    return [pid for pid in pids if not taken.isdisjoint(_sockets(host, pid))]


def _listening(host: HostReader) -> Iterator[tuple[tuple[str, str], str]]:
    for address, port, inode in _LISTENS.findall(host.tcp_listeners()):
        yield (address, port), f"socket:[{inode}]"


def _sockets(host: HostReader, pid: str) -> set[str | None]:
    return {host.link(f"/proc/{pid}/fd/{n}") for n in host.names(f"/proc/{pid}/fd")}
