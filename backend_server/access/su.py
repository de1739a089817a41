"""Who may ask su(1) for anything."""

from __future__ import annotations

from backend_server.engine.resource import Resource
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.text.change import Changes, compare


_SU = "/etc/pam.d/su"


class SuOnlyFor(Resource):
    """su(1) asks for a password of the members of one group only; root needs none.

    The line stands right after root's, so that others are refused before any question. su has
    a file of its own, which no profile reaches.
    """

    group: str

    @property
    def _line(self) -> str:
        return f"auth requisite pam_wheel.so use_uid group={self.group}"

    def owns(self) -> tuple[str, ...]:
        return (_SU,)

    def at_stake(self) -> tuple[str, ...]:
        return (_SU,)

    def check(self, host: HostReader) -> Changes:
        lines = (host.read(_SU) or "").splitlines()
        found = [" ".join(line.split()) for line in lines if _is(line, "pam_wheel.so")]
        return compare(group=("; ".join(found) or None, self._line))

    def apply(self, host: Host, changes: Changes) -> None:
        lines = (host.read(_SU) or "").splitlines()
        lines = [line for line in lines if not _is(line, "pam_wheel.so")]
        root = [n for n, line in enumerate(lines) if _is(line, "pam_rootok.so")]
        lines.insert(root[0] + 1 if root else 0, self._line)
        host.write(_SU, "\n".join(lines) + "\n", 0o644)


def _is(line: str, module: str) -> bool:
    return module in line.split() and not line.startswith("#")
