"""The networks that containers are on, by the names that the kernel and docker give them."""

from __future__ import annotations

import contextlib
import re
import socket


TABLE = "opensafely"  # the nftables table `inet opensafely`
DATABASE_NETWORK = "jobrunner-db"  # docker's name; the job-runner knows it
# Its interface, so that rules can stand before docker does.
DATABASE_BRIDGE = "opensafely-db"
DESKTOP_PORT = 3389
NO_DNS = "192.0.2.0"  # nobody: RFC 5737 keeps it free

_DOOR = re.compile(
    r"([1-9][0-9]{0,4})/(tcp|udp)(?: from ([0-9a-fA-F.:]+)(?:/([0-9]{1,3}))?)?"
)


def place(text: str) -> tuple[str, int] | None:
    """Address and port of ADDRESS:PORT, IPv4; None where it is none."""
    address, _, port = text.rpartition(":")
    if is_ipv4(address) and port.isascii() and port.isdigit():
        number = int(port)
        return (address, number) if 0 < number < 65536 else None
    return None


def door(text: str) -> str | None:
    """The filter's rule for PORT/tcp or PORT/udp, perhaps `from ADDRESS` or ADDRESS/BITS.

    None where the text is neither.
    """
    found = _DOOR.fullmatch(text)
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
    with contextlib.suppress(OSError, UnicodeEncodeError):
        return bool(socket.inet_pton(socket.AF_INET, text))
    return False


def is_address(text: str) -> bool:
    """Whether this is an address, of either kind."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            return bool(socket.inet_pton(family, text))
    return False
