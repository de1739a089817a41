"""Who was shut out by hand on this host, and stays out until let back in."""

from __future__ import annotations

import json
from typing import Iterator, Tuple

from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.text.errors import Refused
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
    return host.parsed(LIST, lambda text: tuple(_entries(text)))


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


def _entries(text: str) -> Iterator[Revocation]:
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            found = json.loads(line)
            keys = tuple(map(str, found["fingerprints"]))
            yield Revocation(**{**found, "fingerprints": keys})
        except (ValueError, TypeError, KeyError):
            raise Refused(
                f"line {number} of {LIST} cannot be read, so nobody knows who is shut out",
                hint=f"mend that line, or remove it and revoke again: {LIST}",
            ) from None
