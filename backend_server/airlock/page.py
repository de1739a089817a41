"""What Airlock's page is known by: OpenSAFELY's certificate, or one that this host made itself."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from string import Template

from backend_server.checkout.service import PAGE
from backend_server.engine import Changes, Host, HostReader, Resource, compare
from backend_server.text.errors import UserError
from backend_server.text.roles import OPENSAFELY


CERTIFICATE, KEY = f"{PAGE}/tls.crt", f"{PAGE}/tls.key"
AUTHORITY = f"{PAGE}/ca.crt"  # where it is, the certificate is this host's own
# Of a key and certificate that somebody puts here, until they lie in their places.
_PUT = f"{PAGE}/put"
_TRUSTED = "/etc/ssl/certs"
_DAYS, _SOON_S = 397, 30 * 24 * 3600
_PARTS = ("ca", "crt", "key", "ca.key", "csr")


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
        if host.stat(_PUT) or not host.stat(CERTIFICATE):
            return compare(state=(None, self.state))
        if not host.stat(AUTHORITY):
            return ()
        return compare(state=(_state(self.name), self.state))

    def apply(self, host: Host, changes: Changes) -> None:
        if not take(host):
            make(host, self.name)


def put(host: Host, certificate: str, key: str) -> None:
    """These are somebody's from now on, and not the host's own, whoever dies."""
    host.write(_PUT, json.dumps([certificate, key]), 0o600)
    take(host)


def take(host: Host) -> bool:
    """What was put here lies in its places; whether anything was left to do."""
    found = json.loads(host.read(_PUT) or "null")
    if found:
        host.remove(AUTHORITY)
        lay(host, *found)
        host.remove(_PUT)
    return bool(found)


def lay(host: Host, certificate: str, key: str = "") -> None:
    """Airlock shows this from the next connection on."""
    if key:
        host.write(KEY, key, 0o640, "root", OPENSAFELY)
    host.write(CERTIFICATE, certificate, 0o644)


def _state(name: str) -> str:
    """Of the host's own certificate: good, or what is wrong with it."""
    try:
        soon = ends(name, CERTIFICATE, AUTHORITY) < time.time() + _SOON_S
    except UserError as error:
        return str(error)
    return "ends soon" if soon else "good"


def ends(name: str, certificate: str, authority: str = "", key: str = KEY) -> float:
    """When this certificate ends. Raises UserError where nobody would take it for NAME.

    It is shown and judged as on any connection, only that this one is in memory.
    """
    import ssl  # seldom needed, and slow

    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        shows = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        shows.load_cert_chain(certificate, key, password="")
        judges = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        judges.load_verify_locations(authority or None, None if authority else _TRUSTED)
        server = shows.wrap_bio(there, back, server_side=True)
        client = judges.wrap_bio(back, there, server_hostname=name)
        for side in (client, server, client):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
        return ssl.cert_time_to_seconds(str((client.getpeercert() or {})["notAfter"]))
    except (OSError, ValueError) as error:
        why = getattr(error, "verify_message", "") or getattr(error, "reason", "")
        raise UserError(f"no certificate for {name}: {why or error}") from None


def make(host: Host, name: str) -> None:
    """The host has one of its own for NAME. In memory, and gone: what could sign a second one."""
    import tempfile  # seldom needed

    with tempfile.TemporaryDirectory(dir="/run") as folder:
        new = {part: f"{folder}/{part}" for part in _PARTS}
        config = Template(Path(__file__).with_name("openssl.cnf").read_text("utf-8"))
        Path(folder, "config").write_text(config.substitute(name=name))
        host.run(
            *("openssl", "req", "-x509", "-sha256", "-nodes", "-days", str(_DAYS)),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-subj", "/CN=This host, for its Airlock", "-config", f"{folder}/config"),
            *("-keyout", new["ca.key"], "-out", new["ca"]),
        )
        # RSA, which every client takes.
        host.run(
            *("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-sha256"),
            *("-subj", f"/CN={name}", "-keyout", new["key"], "-out", new["csr"]),
        )
        host.run(
            *("openssl", "x509", "-req", "-sha256", "-days", str(_DAYS)),
            *("-extfile", f"{folder}/config", "-extensions", "certificate"),
            *("-in", new["csr"], "-CA", new["ca"], "-CAkey", new["ca.key"]),
            *("-CAcreateserial", "-out", new["crt"]),
        )
        ends(name, new["crt"], new["ca"], new["key"])
        authority, certificate, key = (Path(new[p]).read_text() for p in _PARTS[:3])
    host.write(AUTHORITY, authority, 0o644)
    lay(host, certificate, key)
