"""The service that people are on a remote desktop through."""

from __future__ import annotations

from typing import Iterator

from backend_server.checkout.gather import Site
from backend_server.engine import Changes, Host, HostReader, compare
from backend_server.host.listening import holders, ports
from backend_server.host.sessions import desktops
from backend_server.resources import Unit
from backend_server.text.networks import DESKTOP_PORT as PORT


SERVICE = "xrdp.service"
# It does without them, but nobody gets in. The second is where the session manager is asked by TCP.
_BEHIND = ("xrdp-sesman.service", "opensafely-sesman.socket")


def down(site: Site, host: HostReader) -> Iterator[str]:
    """A sentence for each part without which nobody gets to a desktop."""
    if not site.backend.rdp_address:
        return
    behind = _BEHIND[: 1 if site.release.xrdp.apart else 2]
    known = host.units_in_memory()
    wrong = [unit for unit in behind if known.get(unit, ())[1:] != ("active",)]
    mends = f"systemctl restart {SERVICE}"
    if f"{PORT}" not in ports(host, SERVICE):
        wrong.append(SERVICE)
        others = " ".join(holders(host, f"{PORT}"))
        if others:
            mends = f"sysctl -q --system; kill -9 {others}; {mends}"
    for unit in wrong:
        yield f"no remote desktop: see journalctl -u {unit}; try: {mends}"


class RemoteDesktop(Unit):
    """It comes back after a reboot, runs now, and is started anew only when nobody is on it.

    A restart would take the sessions that are open away from their owners, who could not come
    back to them: until they have ended, what it has yet to read only pends.
    """

    on_change: str = "done"

    def check(self, host: HostReader) -> Changes:
        due = host.pending(self.name) and not any(desktops(host))
        return compare(
            enabled=(host.file_state(self.name) == "enabled", self.enabled),
            running=(host.active_state(self.name) == "active", self.running),
            on_change=("pending" if due else "done", self.on_change),
        )

    def apply(self, host: Host, changes: Changes) -> None:
        wanted = {change.field for change in changes}
        if "enabled" in wanted:
            host.run("systemctl", "enable", self.name)
        if wanted & {"running", "on_change"}:
            host.run("systemctl", "restart", self.name)
            host.clear_pending(self.name)
