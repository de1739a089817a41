"""The keys that sshd refuses, whoever has them."""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile

from backend_server.engine import Changes, Resource, compare, counted
from backend_server.host import Host, HostReader, revoked


_MAGIC = b"SSHKRL\n\0"
_VERSION_AT = 12  # behind the magic and the format, a 64-bit number of ours


class RevokedKeys(Resource):
    """sshd has a list of exactly the keys that are revoked on this host, and refuses them.

    A key revocation list of ssh-keygen(1), which holds fingerprints. It carries a digest of
    these as its version, since ssh-keygen writes the time into it. sshd must not name it
    before it is there: without it, it would refuse every key.
    """

    path: str

    def check(self, host: HostReader) -> Changes:
        found, keys = self._found(host), revoked.fingerprints(host)
        if found == _version(keys):
            return ()
        before = None if found is None else "another list"
        return compare(path=(before, counted(len(keys), "key")))

    def apply(self, host: Host, changes: Changes) -> None:
        while self.check(host):  # somebody was revoked meanwhile
            keys = revoked.fingerprints(host)
            host.write(self.path, _krl(host, keys) if keys else "", 0o644)

    def _found(self, host: HostReader) -> int | None:
        text = host.read(self.path)
        if text is None:
            return None
        data = text.encode("utf-8", "surrogateescape")
        if not data.startswith(_MAGIC) or len(data) < _VERSION_AT + 8:
            return -1 if data else 0
        return int(struct.unpack_from(">Q", data, _VERSION_AT)[0])


def _version(fingerprints: frozenset[str]) -> int:
    """0 for an empty list, which is an empty file."""
    if not fingerprints:
        return 0
    digest = hashlib.sha256(" ".join(sorted(fingerprints)).encode()).digest()
    return int(struct.unpack(">Q", digest[:8])[0]) or 1


def _krl(host: Host, fingerprints: frozenset[str]) -> str:
    spec = "".join(f"hash: {fingerprint}\n" for fingerprint in sorted(fingerprints))
    with tempfile.TemporaryDirectory(dir="/run") as folder:
        path = os.path.join(folder, "krl")
        version = str(_version(fingerprints))
        host.run("ssh-keygen", "-q", "-k", "-z", version, "-f", path, "-", stdin=spec)
        with open(path, "rb") as file:
            return file.read().decode("utf-8", "surrogateescape")
