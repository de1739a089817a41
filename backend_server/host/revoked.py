"""Who was shut out by hand on this host, and stays out until let back in."""

from __future__ import annotations

import json
from typing import Any, Mapping, Tuple

from backend_server.host import record
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.text.frozen import Frozen


LIST = "/etc/opensafely/revoked"


class Revocation(Frozen):
    """A line of the list: an account, or the fingerprint of a key, and the keys meant by it."""

    subject: str
    fingerprints: tuple[str, ...]
    when: str
    who: str
    why: str


Revocations = Tuple[Revocation, ...]


def listed(host: HostReader) -> Revocations:
    """As the list is now, whatever it was when a run began. Raises Refused where it is broken."""
    return host.parsed(LIST, _parse)


def names(host: HostReader) -> frozenset[str]:
    """Accounts, and fingerprints, that a line is about."""
    return frozenset(entry.subject for entry in listed(host))


def fingerprints(host: HostReader) -> frozenset[str]:
    """Every key that is refused, whichever account it would open."""
    return frozenset(key for entry in listed(host) for key in entry.fingerprints)


def write(host: Host, entries: Revocations) -> None:
    """The list holds exactly these. Nobody but revoke and readmit calls this."""
    lines = (json.dumps(entry._asdict(), ensure_ascii=False) for entry in entries)
    host.write(LIST, "".join(f"{line}\n" for line in lines), 0o600)


def _parse(text: str) -> Revocations:
    return tuple(record.lines(LIST, text, _revocation, "who is shut out", "revoke"))


def _revocation(found: Mapping[str, Any]) -> Revocation:
    keys = tuple(map(str, found["fingerprints"]))
    return Revocation(**{**found, "fingerprints": keys})
