"""The way from a lab to this machine, and what this machine changes for it."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from sandbox.command import output, run


RUNTIME = Path("/run/backend-sandbox")
FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
BEFORE = RUNTIME / "ip_forward"
# Only what is routed out again is rewritten: hosts and this machine see each other's
# own addresses.
TRANSLATION = """
table ip {name} {{
    chain postrouting {{
        type nat hook postrouting priority 100;
        ip saddr {{ {net}, {far} }} oifname != "{link}" masquerade
    }}
}}
"""


class Uplink:
    """A veth pair: one end on this machine, the other in the lab's namespace.

    Its name carries our pid, because a namespace goes away some time after it was
    deleted, and until then an end of the same name is in the way.
    """

    def __init__(self, lab: str, number: int) -> None:
        self.lab = lab
        self.link = f"{lab}u{os.getpid()}"
        self.net = network(number)
        self.near = f"169.254.77.{number * 4 + 1}"
        self.far = f"169.254.77.{number * 4 + 2}"

    def connect(self) -> None:
        """The lab and this machine reach each other."""
        ip = ("ip", "-n", self.lab)
        pair = ("type", "veth", "peer", "up0", "netns", self.lab)
        run("ip", "link", "add", self.link, *pair)
        # IPv6 ends in the lab, and its housekeeping would be counted as traffic.
        run(*inside(self.lab, "sysctl", "-qw", "net.ipv6.conf.up0.disable_ipv6=1"))
        run("sysctl", "-qw", f"net.ipv6.conf.{self.link}.disable_ipv6=1")
        run("ip", "addr", "add", f"{self.near}/30", "dev", self.link)
        run("ip", "link", "set", self.link, "up")
        run(*ip, "addr", "add", f"{self.far}/30", "dev", "up0")
        run(*ip, "link", "set", "up0", "up")
        run(*ip, "route", "add", "default", "via", self.near)
        run("ip", "route", "add", self.net, "via", self.far)
        self._let_through()

    def _let_through(self) -> None:
        facts = {"name": self.lab, "net": self.net, "far": self.far, "link": self.link}
        run("nft", "-f", "-", stdin=TRANSLATION.format(**facts))
        # Docker and ufw drop what they do not know; only their own table can be asked
        # to let it pass, an accept in ours does not count there.
        if shutil.which("iptables"):
            for way in ("-i", "-o"):
                run("iptables", "-w", "-I", "FORWARD", way, self.link, "-j", "ACCEPT")


def network(number: int) -> str:
    """The hosts of a lab, as this machine routes to them."""
    return f"10.77.{number}.0/24"


def inside(lab: str, *argv: object) -> list[str]:
    """An argv that runs a program in a lab's namespace.

    Not by `ip netns exec`: that mounts another /sys, which has no control groups.
    """
    return ["nsenter", f"--net=/run/netns/{lab}", "--", *map(str, argv)]


def disconnect(lab: str) -> None:
    """No link, rule or table of the lab is left on this machine."""
    for line in output("ip", "-o", "link", "show", "type", "veth").splitlines():
        link = line.split()[1].partition("@")[0]
        if link.startswith(f"{lab}u"):
            run("ip", "link", "delete", link, check=False)
    run("nft", "delete", "table", "ip", lab, check=False)
    if shutil.which("iptables"):
        for rule in output("iptables", "-w", "-S", "FORWARD").splitlines():
            if f" {lab}u" in rule:
                run("iptables", "-w", "-D", *rule.split()[1:])


@contextmanager
def only_one() -> Iterator[None]:
    """Nobody else looks at the labs of this machine meanwhile."""
    RUNTIME.mkdir(mode=0o700, exist_ok=True)
    with (RUNTIME / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def labs() -> list[str]:
    """Labs of this machine, in use or left behind."""
    return sorted(path.name for path in RUNTIME.glob("sb[0-9][0-9]"))


def forward_for(lab: str) -> None:
    """This machine forwards; what it did before the first lab is remembered."""
    with only_one():
        if not labs():
            BEFORE.write_text(FORWARD.read_text())
        (RUNTIME / lab).mkdir(mode=0o700)
        FORWARD.write_text("1")


def forward_no_more(lab: str) -> None:
    """With the last lab gone, this machine forwards as it did before the first."""
    with only_one():
        run("rm", "-rf", RUNTIME / lab)
        if not labs() and BEFORE.exists():
            FORWARD.write_text(BEFORE.read_text())
            BEFORE.unlink()
