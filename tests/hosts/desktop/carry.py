"""Not a test: tries to carry a word out of a host, in every way that the kernel has.

    python3 -I -S carry.py WORD ADDRESS ADDRESS6 OWN-ADDRESS NAME-SERVER

Prints a line for each way that the kernel let it go: somebody accepted a connection, or a
packet was taken. What comes as a module of the kernel (SCTP, DCCP, SMC, VSOCK) is tried where there
are modules: tests/hosts/base/test_families.py. In the end it tries all of them again from a user namespace of its own.
"""

import contextlib
import ctypes
import os
import socket
import struct
import sys


NEW_USER = 0x10000000
UDP_LITE, MPTCP, FAST_OPEN = 136, 262, 0x20000000
MULTICAST = "224.0.0.251"
# LISTEN, of our own: the stand-ins', sshd's, xrdp's, sesman's.
OUTSIDE_PORTS, OWN_PORTS = (22, 53, 80, 445), (22, 3389, 335)
TIMEOUT_S = 1.5


def ways(word, outside, outside6, own, server):
    for port in OUTSIDE_PORTS:
        yield (
            f"tcp {port}",
            lambda port=port: connect(socket.AF_INET, outside, port, word),
        )
        yield (
            f"tcp6 {port}",
            lambda port=port: connect(socket.AF_INET6, outside6, port, word),
        )
    for place in ("127.0.0.1", own):
        for port in OWN_PORTS:
            yield (
                f"tcp {place}:{port}",
                lambda a=place, p=port: connect(socket.AF_INET, a, p, word),
            )
    yield "tcp ::1", lambda: connect(socket.AF_INET6, "::1", 22, word)
    yield "fast open", lambda: fast_open(outside, word)
    for place in (outside, server, "127.0.0.1", MULTICAST, "255.255.255.255"):
        yield (
            f"udp {place}",
            lambda a=place: send(socket.AF_INET, socket.SOCK_DGRAM, 0, (a, 53), word),
        )
    for place in (outside6, "::1", "ff02::fb"):
        yield (
            f"udp {place}",
            lambda a=place: send(socket.AF_INET6, socket.SOCK_DGRAM, 0, (a, 53), word),
        )
    yield (
        "udp lite",
        lambda: send(socket.AF_INET, socket.SOCK_DGRAM, UDP_LITE, (outside, 53), word),
    )
    echo, echo6 = (struct.pack(">BBHHH", kind, 0, 0, 1, 1) + word for kind in (8, 128))
    icmp, icmp6 = socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        yield (
            f"ping {kind}",
            lambda k=kind: send(socket.AF_INET, k, icmp, (outside, 0), echo),
        )
        yield (
            f"ping6 {kind}",
            lambda k=kind: send(socket.AF_INET6, k, icmp6, (outside6, 0), echo6),
        )
    yield (
        "raw ip",
        lambda: send(socket.AF_INET, socket.SOCK_RAW, 253, (outside, 0), word),
    )
    yield "frames", lambda: frame(word)
    yield "mptcp", lambda: connect(socket.AF_INET, outside, 80, word, MPTCP)


def connect(family, address, port, word, protocol=0):
    with socket.socket(family, socket.SOCK_STREAM, protocol) as connection:
        connection.settimeout(TIMEOUT_S)
        connection.connect((address, port))
        connection.sendall(word)


def fast_open(address, word):
    with socket.socket() as connection:
        connection.settimeout(TIMEOUT_S)
        connection.sendto(word, FAST_OPEN, (address, 80))


def send(family, kind, protocol, address, word):
    with socket.socket(family, kind, protocol) as connection:
        if family == socket.AF_INET and kind == socket.SOCK_DGRAM:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        connection.sendto(word, address)


def frame(word):
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as wire:
        wire.sendto(word, ("host0", 0x88B5, 0, 0, b"\xff" * 6))


def try_all(prefix, *words):
    for name, go in ways(*words):
        with contextlib.suppress(OSError):
            go()
            print(prefix + name, flush=True)


def main(word, *places):
    try_all("", word.encode(), *places)
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_USER):
        return  # the host has none for such users
    # What is uid 0 there is, to the kernel's packet filter, still who it was.
    with contextlib.suppress(OSError), open("/proc/self/uid_map", "w") as file:
        file.write(f"0 {os.getuid()} 1\n")
    try_all("in a user namespace: ", word.encode(), *places)


if __name__ == "__main__":
    main(*sys.argv[1:])
