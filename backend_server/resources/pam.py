"""PAM profiles."""

from __future__ import annotations

from backend_server.engine import Changes, Host, HostReader, Resource, compare
from backend_server.text.errors import UserError


# What pam-auth-update(8) writes, and where it notes what it has enabled.
_STACKS = ("account", "auth", "password", "session", "session-noninteractive")
_WRITTEN = (
    *(f"/etc/pam.d/common-{stack}" for stack in _STACKS),
    *(f"/var/lib/pam/{name}" for name in (*_STACKS, "seen")),
)


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
        # Of this machine's kind: /lib/x86_64-linux-gnu, say.
        libraries = [name for name in host.names("/lib") if "-linux-gnu" in name]
        if not any(host.stat(f"/lib/{n}/security/{module}") for n in libraries):
            raise UserError(
                f"{module} is not on this host, and {self} would refuse everybody",
                hint="apt-get update && apt-get install --reinstall libpam-modules",
            )
        host.write(self._path, self.text, 0o644)
        host.run("pam-auth-update", "--package", "--enable", self.name)
