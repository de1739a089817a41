"""A lab: a network for hosts that leads nowhere but to packages and names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Sequence

from sandbox import identity, leftovers, uplink
from sandbox.command import output, run
from sandbox.errors import SandboxError
from sandbox.mirror import own_mirror, resolvers


# An address kept for documentation: no test can reach a stranger by mistake.
INTERNET = "198.51.100.10"
BRIDGE = "02:00:00:00:00:01"
RULES = """
table inet lab {
    set archive { type ipv4_addr; }
    set away { type ipv4_addr; }
    set resolver { type ipv4_addr; }
    set refused { type ipv4_addr . inet_service; size 1024; flags dynamic; }
    counter rejected { }
    chain leaving {
        ct state established,related accept
        # What neighbours tell each other is no traffic: it ends where the link ends.
        ip6 daddr ff00::/8 drop
        ip daddr @away tcp dport { 80, 443 } reject with tcp reset
        ip daddr @archive tcp dport { 80, 443 } accept
        ip daddr @resolver meta l4proto { tcp, udp } th dport 53 accept
        meta l4proto { tcp, udp } update @refused { ip daddr . th dport }
        counter name rejected
        meta l4proto tcp reject with tcp reset
        reject with icmpx admin-prohibited
    }
    chain forward {
        type filter hook forward priority 0; policy drop;
        iifname "up0" accept
        VERDICT
    }
    chain output {
        type filter hook output priority 0; policy accept;
        oifname "up0" VERDICT
    }
}
"""


class Lab:
    """A number nobody else holds, and the network that goes with it.

    A killed run leaves its network and hosts behind; the next lab finds their lock
    free and sweeps them away.
    """

    def __init__(
        self, pinned: Sequence[str] = (), online: bool = False, keep: bool = False
    ) -> None:
        self.online = online
        self.pinned = () if online else tuple(pinned)
        leftovers.sweep_dead()
        self.number, self._lock = leftovers.take_number()
        self.name = leftovers.lab_name(self.number)
        self.runtime = uplink.RUNTIME / self.name
        # Programs that are to outlive us inherit the lock and hold the number.
        self.held = (self._lock.fileno(),) if keep else ()
        self._neighbours = iter(range(10, 250))
        try:
            leftovers.sweep(self.name)
            self._build()
        except BaseException:
            self.close()
            raise

    def new_neighbour(self) -> int:
        """The end of an address that no host of this lab has had."""
        return next(self._neighbours)

    def inside(self, *argv: object) -> list[str]:
        """An argv that runs a program in the lab's namespace."""
        return uplink.inside(self.name, *argv)

    def ip(self, *argv: object) -> str:
        """What `ip` says in the lab's namespace."""
        return output("ip", "-n", self.name, *argv)

    def nft(self, text: str) -> None:
        """Rules loaded in the lab's namespace."""
        run(*self.inside("nft", "-f", "-"), stdin=text)

    def rejected(self) -> int:
        """How many packets wanted to leave and were turned away."""
        question = ("nft", "-j", "list", "counters", "table", "inet", "lab")
        listed = output(*self.inside(*question))
        items = json.loads(listed)["nftables"]
        return sum(int(i["counter"]["packets"]) for i in items if "counter" in i)

    def refused(self) -> list[str]:
        """Where those packets were going, as ADDRESS:PORT."""
        question = ("nft", "-n", "list", "set", "inet", "lab", "refused")
        listed = output(*self.inside(*question))
        found = re.findall(r"(\d[\d.]+) \. (\d+)", listed.partition("elements")[2])
        return sorted(f"{address}:{port}" for address, port in found)

    def archive_down(self) -> None:
        """The package mirror refuses connections; that is not counted as rejected."""
        self._fill("away", own_mirror().addresses())

    def archive_up(self) -> None:
        """The package mirror can be reached, again or for the first time."""
        self.nft("flush set inet lab away\n")
        self._fill("archive", own_mirror().addresses())

    def prove_inside(self, host: str) -> None:
        """Refuses to go on where a pinned address could be somebody else's machine."""
        for address in self.pinned:
            for way in ((), ("from", host, "iif", "br0")):
                route = self.ip("route", "get", address, *way)
                if not route.startswith("local "):
                    raise SandboxError(f"{address} is not held inside the lab: {route}")

    def close(self) -> None:
        """Everything of this lab is gone, and the machine forwards as it did before."""
        if not self._lock.closed:
            with self._lock:
                leftovers.sweep(self.name)

    def _build(self) -> None:
        uplink.forward_for(self.name)
        with uplink.only_one():
            # Two at once may each mount the folder of namespaces, one over the other.
            run("ip", "netns", "add", self.name)
        self._bridge()
        uplink.Uplink(self.name, self.number).connect()
        self.nft(RULES.replace("VERDICT", "accept" if self.online else "jump leaving"))
        self._fill("resolver", resolvers())
        self.archive_up()

    def _bridge(self) -> None:
        self.ip("link", "set", "lo", "up")
        # Left to itself a bridge takes the lowest address of its ports, and whenever a
        # host came or went the others would look for it in vain for some seconds.
        self.ip("link", "add", "br0", "address", BRIDGE, "type", "bridge")
        ours = () if self.online else (INTERNET, *self.pinned)
        gateway, gateway6 = identity.addresses(self.number, 1)
        for address in [f"{gateway}/24", *(f"{own}/32" for own in ours)]:
            self.ip("addr", "add", address, "dev", "br0")
        self.ip("addr", "add", f"{gateway6}/64", "dev", "br0", "nodad")
        self.ip("link", "set", "br0", "up")
        # Leads back into the lab: only what is routed can be rejected and counted.
        self.ip("-6", "route", "add", "default", "dev", "br0")
        for name in ("ipv4.ip_forward", "ipv6.conf.all.forwarding"):
            run(*self.inside("sysctl", "-qw", f"net.{name}=1"))

    def _fill(self, name: str, addresses: Sequence[str]) -> None:
        if addresses:
            self.nft(f"add element inet lab {name} {{ {', '.join(addresses)} }}\n")


def pinned_addresses(checkout: Path) -> list[str]:
    """Every IPv4 address that a backend of this checkout gives names to."""
    found = set()
    for path in checkout.glob("*/manage.sh"):
        hosts = path.with_name("hosts")
        if hosts.is_file():
            text = hosts.read_text()
            found.update(re.findall(r"^\s*(\d+(?:\.\d+){3})\s", text, re.M))
    return sorted(address for address in found if not address.startswith("127."))
