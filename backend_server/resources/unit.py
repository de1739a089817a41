"""Systemd units."""

from __future__ import annotations

from dataclasses import dataclass

from backend_server.change import Changes, compare
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.resource import Resource


@dataclass(frozen=True)
class Unit(Resource):
    """A unit that comes back after a reboot, runs now, and has read its configuration.

    None leaves a field alone. `on_change` is the systemctl verb that makes the unit read its
    configuration: `reload` or `restart`.
    """

    name: str
    enabled: bool | None = True
    running: bool | None = True
    on_change: str = "restart"

    def asks(self) -> tuple[str, ...]:
        return (self.name,)

    def check(self, host: HostReader) -> Changes:
        unit = host.unit(self.name)
        # A static unit cannot be enabled: others pull it in, which is all that is wanted.
        state = unit.get("UnitFileState", "")
        enabled = state in ("enabled", "static", "indirect", "alias")
        return compare(
            enabled=(enabled, self.enabled),
            running=(unit.get("ActiveState") == "active", self.running),
            on_change=("pending" if host.pending(self.name) else "done", "done"),
        )

    def apply(self, host: Host, changes: Changes) -> None:
        wanted = {change.field for change in changes}
        active = host.unit(self.name).get("ActiveState") == "active"
        if "enabled" in wanted:
            host.run("systemctl", "enable" if self.enabled else "disable", self.name)
        if "running" in wanted:
            host.run("systemctl", "start" if self.running else "stop", self.name)
        elif "on_change" in wanted and active:
            host.run("systemctl", self.on_change, self.name)
        host.clear_pending(self.name)
