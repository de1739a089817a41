"""PAM profiles."""

from __future__ import annotations

from typing import Iterator

from backend_server.engine.resource import Resource
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.text.change import Changes, compare
from backend_server.text.errors import UserError


_SU = "/etc/pam.d/su"
# What pam-auth-update(8) writes, and where it notes what it has enabled.
_STACKS = ("account", "auth", "password", "session", "session-noninteractive")
_WRITTEN = (
    *(f"/etc/pam.d/common-{stack}" for stack in _STACKS),
    *(f"/var/lib/pam/{name}" for name in (*_STACKS, "seen")),
)


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


class PamProfile(Resource):
    """A pam-auth-update(8) profile is there and in force: `line` stands in `used_in`.

    pam-auth-update writes the common files of /etc/pam.d, which keeps every login path alike. A
    line whose module is missing would refuse everybody, so it is not written then.
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

    def at_stake(self) -> tuple[str, ...]:
        return (self._path, *_WRITTEN)

    def check(self, host: HostReader) -> Changes:
        stack = (host.read(self.used_in) or "").splitlines()
        in_force = any(line.split() == self.line.split() for line in stack)
        return compare(
            text=(host.read(self._path), self.text),
            line=(self.line if in_force else None, self.line),
        )

    def apply(self, host: Host, changes: Changes) -> None:
        (module,) = (word for word in self.line.split() if word.endswith(".so"))
        if not any(host.stat(f"{folder}/{module}") for folder in _module_folders(host)):
            raise UserError(
                f"{module} is not on this host, and {self} would refuse everybody",
                hint="apt-get update && apt-get install libpam-modules, then run this again",
            )
        host.write(self._path, self.text, 0o644)
        host.run("pam-auth-update", "--package", "--enable", self.name)


def _module_folders(host: HostReader) -> Iterator[str]:
    """Where PAM's modules are: /lib/x86_64-linux-gnu/security, or of another machine."""
    for name in host.names("/lib"):
        if "-linux-gnu" in name:
            yield f"/lib/{name}/security"
