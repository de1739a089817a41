"""Docker's networks, and the rules that docker itself puts into the kernel."""

from __future__ import annotations

import re
from typing import Any, Iterator, Mapping

from backend_server.docker.daemon import DAEMON_JSON, SERVICE, parsed
from backend_server.engine import Changes, Host, HostReader, Resource, compare
from backend_server.text.errors import UserError


_BRIDGE = "com.docker.network.bridge.name"
_ICC = "com.docker.network.bridge.enable_icc"
_MTU = "com.docker.network.driver.mtu"
# Of what it loads, which is not the same from version to version, what every one has.
_RULES = (
    re.compile("^-A FORWARD .*DOCKER", re.MULTILINE),
    re.compile("^-A POSTROUTING .*MASQUERADE", re.MULTILINE),
)


class DockerNetwork(Resource):
    """A network of docker's on a bridge of this name, whose containers do not see each other.

    It has no IPv6, and packets as long as dockerd's file or option says, which goes by it for
    its own bridge alone. One that differs is made anew where no container is on it.
    """

    name: str
    bridge: str
    icc: bool = False
    ipv6: bool = False
    mtu: str | None = None

    def asks(self) -> tuple[str, ...]:
        return (SERVICE,)

    def check(self, host: HostReader) -> Changes:
        found = host.docker_object(self.name)
        if not found:
            return compare(name=(None, self.name), bridge=(None, self.bridge))
        options = found.get("Options") or {}
        is_bridge = found.get("Driver") == "bridge" and not found.get("Internal")
        changes = compare(
            bridge=(is_bridge and options.get(_BRIDGE), self.bridge),
            icc=(options.get(_ICC) != "false", self.icc),
            ipv6=(bool(found.get("EnableIPv6")), self.ipv6),
            mtu=(options.get(_MTU), _mtu(host) or options.get(_MTU)),
        )
        if changes:
            self._leave_alone_where_used(found)
        return changes

    def apply(self, host: Host, changes: Changes) -> None:
        if host.docker_object(self.name):
            host.run("docker", "network", "rm", self.name)
        mtu = _mtu(host)
        options = (f"--opt={_BRIDGE}={self.bridge}", f"--opt={_ICC}=false")
        more = (f"--opt={_MTU}={mtu}",) if mtu else ()
        host.run("docker", "network", "create", *options, *more, self.name)

    def _leave_alone_where_used(self, found: Mapping[str, Any]) -> None:
        """No Refused: a job that runs for days must not hold up who may log in."""
        there = (found.get("Containers") or {}).values()
        users = ", ".join(sorted(each["Name"] for each in there))
        if users:
            raise UserError(
                f"docker's network {self.name} is not as declared, and is in use by {users}",
                hint="when these have ended, run this again: it makes the network anew",
            )


def _mtu(host: HostReader) -> str | None:
    found = (parsed(host.read(DAEMON_JSON) or "") or {}).get("mtu")
    pid = host.unit(SERVICE).get("MainPID")
    given = re.search(r"--mtu[=\0](\d+)", host.read(f"/proc/{pid}/cmdline") or "")
    return str(found) if found else given and given[1]


class DockerRules(Resource):
    """What docker loaded at its start, for containers to have a way out, is still there.

    Somebody's `iptables -F` or `nft flush ruleset` takes it away, and only a start of docker
    brings it back. `services` are containers that come back by themselves then; where others
    run, jobs above all, that is for a person to do: then it is a failure.
    """

    unit: str
    services: frozenset[str] = frozenset()
    rules: str = "there"

    def asks(self) -> tuple[str, ...]:
        return (self.unit,)

    def foresee(self, host: HostReader) -> None:
        host.begin(host.iptables_rules)

    def check(self, host: HostReader) -> Changes:
        if host.unit(self.unit).get("ActiveState") != "active":
            return ()  # its start loads them
        there = all(rule.search(host.iptables_rules()) for rule in _RULES)
        if not there and set(host.running_containers()) - self.services:
            raise UserError(
                "docker's own packet filter rules are gone, and containers reach nothing: "
                "not the controller, not the database",
                hint="sudo backend host maintenance",
            )
        return compare(rules=("there" if there else "gone", self.rules))

    def apply(self, host: Host, changes: Changes) -> None:
        host.run("systemctl", "restart", self.unit)


def unforwarded(host: HostReader) -> Iterator[str]:
    """A sentence where the kernel passes nothing on to or from containers."""
    if (host.read("/proc/sys/net/ipv4/ip_forward") or "1").strip() == "0":
        yield "net.ipv4.ip_forward is 0: containers reach nothing; sudo backend"
