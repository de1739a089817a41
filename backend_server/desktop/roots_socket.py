"""A socket at which only root is heard."""

from __future__ import annotations

import stat

from backend_server.engine import Changes, Host, HostReader, Resource, compare, octal


class RootsSocket(Resource):
    """What listens at this path answers root alone, where anything listens at all.

    `unit` makes the path, by a setting of its own; `service` has to let go of it for that.
    """

    path: str
    unit: str
    service: str
    mode: int = 0o600

    def check(self, host: HostReader) -> Changes:
        found = host.stat(self.path)
        if found is None or not stat.S_ISSOCK(found.st_mode):
            return ()
        return compare(mode=(octal(stat.S_IMODE(found.st_mode)), octal(self.mode)))

    def apply(self, host: Host, changes: Changes) -> None:
        # Both at once: somebody who waits to be heard would start the service in between.
        host.run("systemctl", "stop", self.unit, self.service)
        host.run("systemctl", "start", self.unit)
        host.run("systemctl", "start", self.service)
