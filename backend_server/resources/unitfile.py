"""Unit files."""

from __future__ import annotations

from backend_server.engine import Changes, Host, HostReader, compare
from backend_server.resources.file import File


UNITS = "/etc/systemd/system"


class UnitFile(File):
    """A file of systemd's with exactly this text, which systemd has read.

    `notify` names the units that must be started anew besides, for a change to have effect.
    """

    loaded: str = "done"

    @property
    def _reload(self) -> str:
        """Each file has a mark of its own, or reloading for one would hide another's."""
        return "daemon-reload." + self.path.rpartition("/")[2]

    def check(self, host: HostReader) -> Changes:
        loaded = (host.notice(self._reload), self.loaded)
        return super().check(host) + compare(loaded=loaded)

    def apply(self, host: Host, changes: Changes) -> None:
        host.mark_pending(self._reload, self.label)
        super().apply(host, changes)
        host.run("systemctl", "daemon-reload")
        host.clear_pending(self._reload)
