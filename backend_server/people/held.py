"""Which of GitHub's keys are accepted here: kept on the host, so that GitHub may be away."""

from __future__ import annotations

import json
from typing import Mapping

from backend_server.checkout.keys import FOLDER, Key, in_text
from backend_server.host import record
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.people.offers import Held
from backend_server.text.errors import Refused


RECORD = "/var/lib/opensafely/github.json"


def read(host: HostReader) -> Mapping[str, Held]:
    """By person. Of whom the record does not know, what their key file has from GitHub."""
    known = host.parsed(RECORD, _parse)
    lost = (name for name in host.names(FOLDER) if name not in known)
    return {**{name: _in_force(host, name) for name in lost}, **known}


def write(host: Host, held: Mapping[str, Held]) -> None:
    """The record says exactly this; a file that says so already is left alone."""
    found = {
        name: {"seen": seen, "keys": [key.bare for key in keys]}
        for name, (keys, seen) in sorted(held.items())
    }
    record.keep(host, RECORD, found)


def _in_force(host: HostReader, name: str) -> Held:
    lines = (host.read(f"{FOLDER}/{name}") or "").splitlines()
    ours = (line for line in lines if line.endswith(f" {name}@github"))
    return Held(in_text("\n".join(ours)), "")


def _parse(text: str) -> Mapping[str, Held]:
    try:
        return {
            name: Held(
                tuple(Key(*line.split()) for line in found["keys"]), found["seen"]
            )
            for name, found in json.loads(text or "{}").items()
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Refused(
            f"{RECORD} cannot be read; wanted the keys that were accepted from GitHub",
            hint=f"mv {RECORD} {RECORD}.broken",
        ) from None
