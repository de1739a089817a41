"""The networks that containers are on, by the names that the kernel and docker give them."""

from __future__ import annotations

import contextlib
import re
import socket

from backend_server.text.frozen import Frozen


TABLE = "opensafely"  # the nftables table `inet opensafely`
DATABASE_NETWORK = "jobrunner-db"  # docker's name; the job-runner knows it
# Its interface, so that rules can stand before docker does.
DATABASE_BRIDGE = "opensafely-db"
DESKTOP_PORT = 3389
NO_DNS = "192.0.2.0"  # nobody: RFC 5737 keeps it free

_PORT = "[1-9][0-9]{0,4}"
_PLACE = rf"([0-9.]+)(?:/([0-9]{{1,2}}))?:({_PORT})(?:-({_PORT}))?"
_DOOR = r"([1-9][0-9]{0,4})/(tcp|udp)(?: from ([0-9a-fA-F.:]+)(?:/([0-9]{1,3}))?)?"


class Place(Frozen):
    """An address or a network of IPv4, and a port or several that follow each other."""

    address: str
    bits: int
    first: int
    last: int

    @property
    def exact(self) -> bool:
        return self.bits == 32 and self.first == self.last

    @property
    def rule(self) -> str:
        """The packet filter's, which accepts what goes there."""
        at = self.address if self.bits == 32 else f"{self.address}/{self.bits}"
        to = f"{self.first}" if self.first == self.last else f"{self.first}-{self.last}"
        return f"ip daddr {at} tcp dport {to} accept"

    def holds(self, address: str, port: int) -> bool:
        one, other = (
            int.from_bytes(socket.inet_pton(socket.AF_INET, each), "big")
            for each in (self.address, address)
        )
        same = one >> (32 - self.bits) == other >> (32 - self.bits)
        return same and self.first <= port <= self.last


def place(text: str) -> Place | None:
    """Of ADDRESS:PORT, where /BITS and -LAST may follow each; None where it is none."""
    found = re.fullmatch(_PLACE, text)
    if not found or not is_ipv4(found[1]):
        return None
    address, bits, first, last = found.groups()
    parsed = Place(address, int(bits or 32), int(first), int(last or first))
    fits = 8 <= parsed.bits <= 32 and parsed.first <= parsed.last < 65536
    return parsed if fits else None


def door(text: str) -> str | None:
    """The filter's rule for PORT/tcp or PORT/udp, perhaps `from ADDRESS` or ADDRESS/BITS.

    None where the text is neither.
    """
    found = re.fullmatch(_DOOR, text)
    if not found or int(found[1]) > 65535:
        return None
    port, protocol, address, bits = found.groups()
    source, width = "", 32 if is_ipv4(address or "") else 128
    if address:
        if not is_address(address) or int(bits or 0) > width:
            return None
        source = f"{family(address)} saddr {address}/{bits or width} "
    return f"{source}{protocol} dport {{ {port} }} accept"


def family(address: str) -> str:
    """As nft(8) calls it."""
    return "ip" if is_ipv4(address) else "ip6"


def is_ipv4(text: str) -> bool:
    return is_address(text, socket.AF_INET)


def is_address(text: str, *families: int) -> bool:
    """Whether this is an address of one of these kinds, or of either."""
    for family in families or (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError, UnicodeEncodeError):
            return bool(socket.inet_pton(family, text))
    return False
