"""What Airlock's page is known by: OpenSAFELY's certificate, or one that this host made itself."""

from __future__ import annotations

from backend_server.engine.resource import Resource
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.text.change import Changes, compare
from backend_server.text.roles import OPENSAFELY


FOLDER = "/etc/opensafely/airlock"
CERTIFICATE, KEY = f"{FOLDER}/tls.crt", f"{FOLDER}/tls.key"
AUTHORITY = f"{FOLDER}/ca.crt"  # where it is, the certificate is this host's own


class Certificate(Resource):
    """Whoever opens https://NAME here sees a certificate of that name, which this host has the key of.

    One that somebody has put here is theirs to renew. Else it is of an authority for this name
    alone, made with it, whose key nobody has.
    """

    name: str
    state: str = "good"

    def owns(self) -> tuple[str, ...]:
        return (CERTIFICATE, KEY, AUTHORITY)

    def check(self, host: HostReader) -> Changes:
        if not host.stat(CERTIFICATE):
            return compare(state=(None, self.state))
        if not host.stat(AUTHORITY):
            return ()
        from backend_server.airlock import signing  # seldom needed, and slow

        return compare(state=(signing.state(self.name), self.state))

    def apply(self, host: Host, changes: Changes) -> None:
        from backend_server.airlock import signing

        signing.make(host, self.name)


def lay(host: Host, certificate: str, key: str = "") -> None:
    """Airlock shows this from the next connection on."""
    if key:
        host.write(KEY, key, 0o640, "root", OPENSAFELY)
    host.write(CERTIFICATE, certificate, 0o644)
