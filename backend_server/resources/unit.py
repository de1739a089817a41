"""Systemd units."""

from __future__ import annotations

import os

from backend_server.engine import Changes, Host, HostReader, Resource, compare
from backend_server.text.errors import CommandFailed


PEND = "pend"
# Where systemd looks for a unit before it looks in /etc/systemd/system: systemd.unit(5).
BEFORE_ETC = (
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/run/systemd/generator.early",
)


class Unit(Resource):
    """A unit that comes back after a reboot, runs now, and has read its configuration.

    None leaves a field alone. `on_change` is the systemctl verb that makes the unit read its
    configuration: `reload` or `restart`; with `pend` it waits until a person restarts it.
    """

    name: str
    enabled: bool | None = True
    running: bool | None = True
    on_change: str = "restart"

    def rests(self) -> tuple[str, ...]:
        return () if self.enabled is None else (self.name,)

    def check(self, host: HostReader) -> Changes:
        waits = self.on_change == PEND and not host.restarted(self.name)
        asks_enabled, asks_running = self.enabled is not None, self.running is not None
        active = asks_running and host.active_state(self.name) == "active"
        return compare(
            enabled=(asks_enabled and self._enabled(host), self.enabled),
            running=(active, self.running),
            on_change=(host.notice(self.name), None if waits else "done"),
        )

    def _enabled(self, host: HostReader) -> bool:
        # A static unit cannot be enabled: others pull it in, which is all that is wanted.
        return host.file_state(self.name) in ("enabled", "static", "indirect", "alias")

    def apply(self, host: Host, changes: Changes) -> None:
        wanted = {change.field for change in changes}
        state = host.unit(self.name).get("ActiveState")
        if "enabled" in wanted:
            if self.enabled and host.unit(self.name).get("LoadState") == "masked":
                for how in ((), ("--runtime",)):  # by an image, say
                    host.run("systemctl", "unmask", *how, self.name)
            host.run("systemctl", "enable" if self.enabled else "disable", self.name)
        if "running" in wanted:
            self._start_or_stop(host)
        elif "on_change" in wanted and state == "active" and self.on_change != PEND:
            host.run("systemctl", self.on_change, self.name)
        if "running" in wanted or self.on_change != PEND or host.restarted(self.name):
            host.clear_pending(self.name)

    def _start_or_stop(self, host: Host) -> None:
        try:
            # A timer that will not come again is active all the same.
            verb = "restart" if self.name.endswith(".timer") else "start"
            host.run("systemctl", verb if self.running else "stop", self.name)
        except CommandFailed as error:
            if "attempted too often" not in error.hint:
                raise
            # That guards against loops, and a person who mended what was wrong is none.
            host.run("systemctl", "reset-failed", self.name)
            host.run("systemctl", "start", self.name)


class Masked(Resource):
    """A unit that does not run and that nothing can start, whether it is installed or not."""

    name: str
    masked: bool = True
    running: bool = False

    def foresee(self, host: HostReader) -> None:
        host.begin(host.units_in_memory)

    def check(self, host: HostReader) -> Changes:
        known = host.units_in_memory().get(self.name)
        found = known or (self._to_be_loaded(host), "inactive")
        return compare(
            masked=(found[0] == "masked", self.masked),
            running=(found[1] == "active", self.running),
        )

    def _to_be_loaded(self, host: HostReader) -> str:
        """What systemd would find, if anybody asked it for this unit."""
        first = (f"{folder}/{self.name}" for folder in BEFORE_ETC)
        mask = host.link(f"/etc/systemd/system/{self.name}") == os.devnull
        return "masked" if mask and not any(map(host.stat, first)) else "loaded"

    def apply(self, host: Host, changes: Changes) -> None:
        host.run("systemctl", "mask", "--now", self.name)
