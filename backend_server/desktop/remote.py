"""The service that people are on a remote desktop through."""

from __future__ import annotations

from typing import Iterator

from backend_server.checkout.gather import Site
from backend_server.engine.resource import Resource
from backend_server.host.reader import HostReader
from backend_server.host.sessions import desktops
from backend_server.host.writer import Host
from backend_server.text.change import Changes, compare


SERVICE, SESMAN = "xrdp.service", "xrdp-sesman.service"


def down(site: Site, host: HostReader) -> Iterator[str]:
    """A sentence for each part without which nobody gets to a desktop."""
    for unit in (SERVICE, SESMAN) if site.backend.rdp_address else ():
        if host.unit(unit).get("ActiveState") != "active":
            yield f"no remote desktop: see journalctl -u {unit}; try: systemctl restart {SERVICE}"


class RemoteDesktop(Resource):
    """It comes back after a reboot, runs now, and is started anew only when nobody is on it.

    A restart would take the sessions that are open away from their owners, who could not come
    back to them: until they have ended, what it has yet to read only pends.
    """

    name: str
    enabled: bool = True
    running: bool = True
    on_change: str = "done"

    def asks(self) -> tuple[str, ...]:
        return (self.name,)

    def check(self, host: HostReader) -> Changes:
        unit = host.unit(self.name)
        due = host.pending(self.name) and not any(desktops(host))
        return compare(
            enabled=(unit.get("UnitFileState") == "enabled", self.enabled),
            running=(unit.get("ActiveState") == "active", self.running),
            on_change=("pending" if due else "done", self.on_change),
        )

    def apply(self, host: Host, changes: Changes) -> None:
        wanted = {change.field for change in changes}
        if "enabled" in wanted:
            host.run("systemctl", "enable", self.name)
        if wanted & {"running", "on_change"}:
            host.run("systemctl", "restart", self.name)
            host.clear_pending(self.name)
