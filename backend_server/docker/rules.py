"""The rules that docker itself puts into the kernel."""

from __future__ import annotations

import re

from backend_server.engine.resource import Resource
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.text.change import Changes, compare
from backend_server.text.errors import UserError


# Of what it loads, which is not the same from version to version, what every one has.
_RULES = (
    re.compile("^-A FORWARD .*DOCKER", re.MULTILINE),
    re.compile("^-A POSTROUTING .*MASQUERADE", re.MULTILINE),
)


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
