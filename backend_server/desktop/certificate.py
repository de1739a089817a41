"""Certificates that a host makes for itself."""

from __future__ import annotations

import stat

from backend_server.engine import Changes, Host, HostReader, Resource, compare, octal


class OwnCertificate(Resource):
    """A certificate and its key are there, made here where nobody has put others in place.

    The key is read by root and one group. It is RSA, which every client takes.
    """

    path: str
    key: str
    group: str
    mode: int = 0o640

    def owns(self) -> tuple[str, ...]:
        return (self.path, self.key)

    def check(self, host: HostReader) -> Changes:
        found = host.stat(self.key)
        return compare(
            path=(self.path if host.stat(self.path) else None, self.path),
            key=(found and self.key, self.key),
            group=(found and host.group_name(found.st_gid), self.group),
            mode=(found and octal(stat.S_IMODE(found.st_mode)), octal(self.mode)),
        )

    def apply(self, host: Host, changes: Changes) -> None:
        if {change.field for change in changes} & {"path", "key"}:
            name = (host.read("/etc/hostname") or "").strip() or "localhost"
            # openssl closes a key that it makes to others before it writes a byte of it.
            host.run(
                *("openssl", "req", "-x509", "-newkey", "rsa:3072", "-sha256"),
                *("-nodes", "-days", "3650", "-subj", f"/CN={name}"),
                *("-keyout", self.key, "-out", self.path),
            )
            host.set_mode(self.path, 0o644)
        host.set_access(self.key, self.mode, "root", self.group)
