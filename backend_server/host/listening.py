"""Which programs listen at which TCP ports."""

from __future__ import annotations

import os
import re
import socket
import struct
from pathlib import Path
from typing import Iterator

from backend_server.host.reader import HostReader


# Of linux/sock_diag.h, netlink.h and net/tcp_states.h.
_SOCK_DIAG, _BY_FAMILY, _DUMP, _LISTEN = 4, 20, 0x301, 1 << 10
_ERROR, _DONE = 2, 3
# Of struct inet_diag_msg: port and address, in the net's order, and the inode in the machine's.
_PLACE, _INODE = struct.Struct("!4xH2x16s"), struct.Struct("=68xI")
# Of proc(5): an address is shown in words of the machine.
_FILES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTENS, _WORD = "0A", struct.Struct("=I")
_STREAM = re.compile(r"(\S+):([0-9]+) \(Stream\)")  # of a socket unit's addresses


def ports(host: HostReader, service: str, by: str = "") -> set[str]:
    """Where a service's own process listens, or systemd for it."""
    return {port for _, port in addresses(host, service, by)}


def addresses(host: HostReader, service: str, by: str = "") -> set[tuple[str, str]]:
    """The same with the address of each port; `*`, 0.0.0.0 and :: are all there are."""
    own = _sockets(host, host.unit(service).get("MainPID", "0"))
    found = {(at, port) for at, port, each in tcp_listeners() if each in own}
    unit = host.unit(by) if by else {}
    if unit.get("ActiveState") == "active":
        found.update(_STREAM.findall(unit.get("Listen", "")))
    return {(re.sub(r"[][]", "", address), port) for address, port in found}


def holders(host: HostReader, port: str) -> list[str]:
    """The ids of all processes that have a port, whatever they call themselves."""
    taken = {each for _, number, each in tcp_listeners() if number == port}
    pids = filter(str.isdigit, host.names("/proc"))
    return [pid for pid in pids if not taken.isdisjoint(_sockets(host, pid))]


def _sockets(host: HostReader, pid: str) -> set[str | None]:
    return {host.link(f"/proc/{pid}/fd/{n}") for n in host.names(f"/proc/{pid}/fd")}


def tcp_listeners() -> Iterator[tuple[str, str, str]]:
    """Address, port, and proc(5)'s name of each that listens.

    /proc/net/tcp takes the kernel 10 ms a file, and is asked where there is no tcp_diag: a
    kernel that loads no more modules may be without.
    """
    try:
        return iter([*by_netlink()])
    except OSError:
        return by_proc()


def by_proc() -> Iterator[tuple[str, str, str]]:
    files = [path for path in _FILES if path.exists()]
    for line in (line for path in files for line in path.read_text().splitlines()):
        _, place, _, state, *_, inode = line.split()[:10]
        if state == _LISTENS:
            address, _, port = place.partition(":")
            words = (int(address[n : n + 8], 16) for n in range(0, len(address), 8))
            packed = b"".join(map(_WORD.pack, words))
            family = socket.AF_INET6 if packed[4:] else socket.AF_INET
            at = socket.inet_ntop(family, packed)
            yield at, str(int(port, 16)), f"socket:[{inode}]"


def by_netlink() -> Iterator[tuple[str, str, str]]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel:
        for family, size in ((socket.AF_INET, 4), (socket.AF_INET6, 16)):
            head = struct.pack("=IHHII", 72, _BY_FAMILY, _DUMP, 0, 0)
            wanted = (family, socket.IPPROTO_TCP, 0, 0, _LISTEN)
            kernel.send(head + struct.pack("=BBBBI48x", *wanted))
            for data in _answers(kernel):
                port, found = _PLACE.unpack_from(data)
                (inode,) = _INODE.unpack_from(data)
                address = socket.inet_ntop(family, found[:size])
                yield address, str(port), f"socket:[{inode}]"


def _answers(kernel: socket.socket) -> Iterator[bytes]:
    while True:
        data = kernel.recv(1 << 16)
        while data:
            size, kind = struct.unpack_from("=IH", data)
            if kind == _DONE:
                return
            if kind == _ERROR:
                (number,) = struct.unpack_from("=i", data, 16)
                raise OSError(-number, os.strerror(-number))
            yield data[16:size]
            data = data[-(-size // 4) * 4 :]
