"""PAM profiles."""

from __future__ import annotations

from dataclasses import dataclass

from backend_server.change import Changes, compare
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.resource import Resource


@dataclass(frozen=True)
class PamProfile(Resource):
    """A pam-auth-update(8) profile is there and in force: `line` stands in `used_in`.

    Nobody edits /etc/pam.d by hand here: pam-auth-update keeps every login path alike.
    """

    name: str
    text: str
    line: str
    used_in: str = "/etc/pam.d/common-session"

    @property
    def _path(self) -> str:
        return f"/usr/share/pam-configs/{self.name}"

    def owns(self) -> tuple[str, ...]:
        return (self._path,)

    def check(self, host: HostReader) -> Changes:
        stack = (host.read(self.used_in) or "").splitlines()
        in_force = any(line.split() == self.line.split() for line in stack)
        return compare(
            text=(host.read(self._path), self.text),
            line=(self.line if in_force else None, self.line),
        )

    def apply(self, host: Host, changes: Changes) -> None:
        host.write(self._path, self.text, 0o644)
        host.run("pam-auth-update", "--package", "--enable", self.name)
