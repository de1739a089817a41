"""Tables of the kernel's packet filter."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Mapping

from backend_server.change import Changes, compare
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.resource import Resource


_PROOFS = "/var/lib/opensafely/proofs"
_AS_LOADED = "as the file says"


@dataclass(frozen=True)
class NftTable(Resource):
    """The table `inet NAME` holds in the kernel exactly what this file says.

    The file is what is loaded at boot, and begins with the removal of the table, so that
    loading it is one step. What the kernel listed right after our own load is kept: versions
    of nft word the same rules differently, but each one always alike.
    """

    name: str
    path: str
    text: str
    rules: str = _AS_LOADED

    def owns(self) -> tuple[str, ...]:
        return (self.label, self.path)

    def check(self, host: HostReader) -> Changes:
        text = compare(text=(host.read(self.path), self.text))
        if text:
            host.refuse_unreachable(self.path)
        listed = self._listed(host)
        digest, _, kept = (host.read(self._proof) or "").partition("\n")
        if listed is not None and (digest, kept) == (self._digest, listed):
            return text
        # What can be shown beside each other is two lists of the same file's rules.
        known = listed is not None and kept and digest == self._digest
        expected = kept if known else self.rules
        return text + compare(rules=(listed, expected))

    def apply(self, host: Host, changes: Changes) -> None:
        def validate(candidate: str) -> None:
            host.run("nft", "--check", "--file", candidate)

        host.write(self.path, self.text, 0o644, validate=validate)
        host.run("nft", "--file", self.path)
        listed = self._listed(host)
        host.write(self._proof, f"{self._digest}\n{listed or ''}", 0o644)

    @property
    def _proof(self) -> str:
        return f"{_PROOFS}/nft-{self.name}"

    @property
    def _digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def _listed(self, host: HostReader) -> str | None:
        """The kernel's rules, one a line, so that a difference can be read."""
        found = host.nft_table(self.name)
        if found is None:
            return None
        return "".join(f"{_line(each)}\n" for each in found)


def _line(each: Mapping[str, Any]) -> str:
    rule = each.get("rule")
    if rule:
        return f"{rule['chain']}: {json.dumps(rule['expr'], sort_keys=True)}"
    return json.dumps(each, sort_keys=True)
