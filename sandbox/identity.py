"""What one host has and no other: its name, its addresses, its way out."""

from __future__ import annotations

import re
from pathlib import Path

from sandbox.mirror import resolvers
from sandbox.tree import write


UNIT = "etc/systemd/network/10-host0.network"
NETWORK = """\
[Match]
Name={link}
{mac}[Network]
Address={own[0]}/24
Gateway={gateway[0]}
Address={own[1]}/64
Gateway={gateway[1]}
LinkLocalAddressing=no
IPv6AcceptRA=no
IPv6DuplicateAddressDetection=0
"""


def addresses(lab: int, neighbour: int) -> tuple[str, str]:
    """IPv4 and IPv6 of a neighbour in a lab; the first neighbour is the gateway."""
    return f"10.77.{lab}.{neighbour}", f"fd77::{lab}:{neighbour}"


def network(own: tuple[str, str], lab: int, link: str, mac: str = "") -> str:
    """A unit of networkd that gives a link these addresses and the way out of the lab."""
    device = f"[Link]\nMACAddress={mac}\n" if mac else ""
    gateway = addresses(lab, 1)
    return NETWORK.format(own=own, gateway=gateway, link=link, mac=device)


def give(root: Path, name: str, own: tuple[str, str], lab: int) -> None:
    """The tree at this root is that of a host of this name and addresses."""
    write(root, UNIT, network(own, lab, "host0"))
    write(root, "etc/hostname", f"{name}\n")
    servers = "".join(f"nameserver {address}\n" for address in resolvers())
    found = root / "etc/resolv.conf"
    # A backend may have none, and then no DHCP server brings them back either.
    if not found.exists() or "nameserver" in found.read_text():
        write(root, "etc/resolv.conf", servers)
    # sudo looks its host's name up; the rest of the file is not ours.
    hosts = (root / "etc/hosts").read_text()
    hosts = re.sub(r"^127\.0\.1\.1 .*\n", "", hosts, flags=re.M)
    write(root, "etc/hosts", f"127.0.1.1 {name}\n{hosts}")


def take_away(root: Path) -> None:
    """The tree at this root can become another host."""
    for name in (UNIT, "etc/hostname"):
        (root / name).unlink()
    write(root, "etc/machine-id", "")
