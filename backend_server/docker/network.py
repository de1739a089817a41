"""Docker's networks."""

from __future__ import annotations

import re
from typing import Any, Iterator, Mapping

from backend_server.docker.daemon import DAEMON_JSON, SERVICE, parsed
from backend_server.engine.resource import Resource
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.text.change import Changes, compare
from backend_server.text.errors import UserError


_BRIDGE = "com.docker.network.bridge.name"
_ICC = "com.docker.network.bridge.enable_icc"
_MTU = "com.docker.network.driver.mtu"
_GIVEN = re.compile(r"--mtu[=\0](\d+)")


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
    given = _GIVEN.search(host.read(f"/proc/{pid}/cmdline") or "")
    return str(found) if found else given and given[1]


def unforwarded(host: HostReader) -> Iterator[str]:
    """A sentence where the kernel passes nothing on to or from containers."""
    if (host.read("/proc/sys/net/ipv4/ip_forward") or "1").strip() == "0":
        yield "net.ipv4.ip_forward is 0: containers reach nothing; sudo backend"
