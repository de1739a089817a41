"""Tables of the kernel's packet filter."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Iterator, Mapping

from backend_server.engine import Changes, Host, HostReader, Resource, compare
from backend_server.engine.in_force import PROOFS
from backend_server.text.parsers import PasswdEntry, parse_subids


_AS_LOADED = "as the file says"
_BEFORE, _ALTERED = "as a former file says", "as no file says"
_PROOF = f"{PROOFS}/nft-{{}}"


class NftTable(Resource):
    """The table `inet NAME` holds in the kernel exactly what this file says.

    The file is what is loaded at boot, and begins with the removal of the table, so that
    loading it is one step. What the kernel listed right after our own load is kept: versions
    of nft word the same rules differently, but each one always alike.

    The file includes the one at `included`, which has been seen to before.

    Where a line says `uid:NAME`, the file has that account's uid and its subordinate ones
    (subuid(5)); the line is left out while there is no such account. `uid:@GROUP` stands for
    a line for each member of a group who is not one of `but`.
    """

    name: str
    path: str
    text: str
    but: frozenset[str] = frozenset()
    included: str = ""
    rules: str = _AS_LOADED

    def owns(self) -> tuple[str, ...]:
        return (self.label, self.path)

    def foresee(self, host: HostReader) -> None:
        host.begin(host.nft_table, self.name)

    def check(self, host: HostReader) -> Changes:
        text = compare(text=(self._found(host), self._wanted(host)))
        if text:
            host.refuse_unreachable(self.path)
        listed = _listed(host, self.name)
        digest, kept = _proof(host, self.name)
        changed = text or host.planned(f"Inbound {self.included}")
        if listed is not None and not changed and digest == self._digest(host):
            return compare(rules=(listed, kept))
        if text and kept == listed:
            return text  # which says why it is loaded anew
        former = _BEFORE if kept == listed else _ALTERED
        return text + compare(rules=(listed and former, self.rules))

    def apply(self, host: Host, changes: Changes) -> None:
        judge = host.judged_by("nft", "--check", "--file")
        host.write(self.path, self._with_uids(host), 0o644, validate=judge)
        host.run("nft", "--file", self.path)
        listed = _listed(host, self.name)
        proof = f"{self._digest(host)}\n{listed or ''}"
        host.write(_PROOF.format(self.name), proof, 0o644)

    def _digest(self, host: HostReader) -> str:
        text = self._with_uids(host) + (host.read(self.included) or "")
        return hashlib.sha256(text.encode()).hexdigest()

    def _with_uids(self, host: HostReader) -> str:
        lines = (_numbered(line, host) for line in self._lines(host))
        return "".join(filter(None, lines))

    def _wanted(self, host: HostReader) -> str:
        """The text, less the lines of accounts that are not there and will not be."""
        return "".join(x for x in self._lines(host) if _has_account(x, host))

    def _lines(self, host: HostReader) -> Iterator[str]:
        """With one for each member of a group in place of the group's."""
        for line in self.text.splitlines(keepends=True):
            group = _GROUP.search(line)
            others = host.members(group[1]) - self.but if group else ()
            named = (_GROUP.sub(f"uid:{name}", line) for name in sorted(others))
            yield from named if group else (line,)

    def _found(self, host: HostReader) -> str | None:
        """The file that is there, with names in place of the uids that are rightly theirs."""
        found = host.read(self.path)
        if found is None:
            return None
        named = filter(_NAMED.search, self._lines(host))
        names = {_numbered(line, host): line for line in named}
        lines = found.splitlines(keepends=True)
        return "".join(names.get(line, line) for line in lines)


def altered(host: HostReader, name: str) -> bool:
    """Whether the kernel's table is gone, or another than what we loaded last."""
    _, kept = _proof(host, name)
    return bool(kept) and kept != _listed(host, name)


def _proof(host: HostReader, name: str) -> tuple[str, str]:
    """Of which text the table was loaded, and what the kernel listed then."""
    digest, _, kept = (host.read(_PROOF.format(name)) or "").partition("\n")
    return digest, kept


def _listed(host: HostReader, name: str) -> str | None:
    """The kernel's rules, one a line, so that a difference can be read."""
    found = host.nft_table(name)
    return None if found is None else "".join(f"{_line(each)}\n" for each in found)


_NAMED = re.compile(r"\buid:([\w.-]+)")
_GROUP = re.compile(r"\buid:@([\w.-]+)")


def _has_account(line: str, host: HostReader) -> bool:
    named = _NAMED.search(line)
    return not named or host.will_have_account(named[1])


def _numbered(line: str, host: HostReader) -> str | None:
    """A line with numbers in place of the name; None where nobody has it."""
    named = _NAMED.search(line)
    if named is None:
        return line
    user = host.users().get(named[1])
    if user is None:
        return None
    return _NAMED.sub(", ".join(_uids(host, user)), line)


def _uids(host: HostReader, user: PasswdEntry) -> Iterator[str]:
    """The account's, and ranges that it may give to processes of its own.

    nft takes none that overlap.
    """
    subids = host.parsed("/etc/subuid", parse_subids)
    names = (user.name, str(user.uid))
    given = [span for owner, *span in subids if owner in names]
    free = 0
    for first, last in sorted([[user.uid, user.uid], *given]):
        first = max(first, free)
        if first <= last:
            yield str(first) if first == last else f"{first}-{last}"
            free = last + 1


def _line(each: Mapping[str, Any]) -> str:
    rule = each.get("rule")
    if rule:
        return f"{rule['chain']}: {json.dumps(rule['expr'], sort_keys=True)}"
    return json.dumps(each, sort_keys=True)
