"""What was put on the share, what waits, and whether somebody should look at that."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Iterator, NamedTuple

from backend_server.checkout.backend import Share
from backend_server.engine import history
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.outputs.opened import Sign
from backend_server.text.change import counted


STATE = "/var/lib/opensafely/push.json"  # anew each minute, so it is small
FILES = "/var/lib/opensafely/pushed.json"  # only where something was put there


class Put(NamedTuple):
    """A file on the share that this host put there, or began to: then sha256 is empty."""

    path: str  # there, below the folder
    sha256: str
    size: int
    sign: Sign  # of ours


@dataclass
class Record:
    """As it is kept from one push to the next. Paths are below the workspaces' folder."""

    began: str  # the first push here
    put: dict[str, Put] = field(default_factory=dict)
    ended: str | None = None  # the last push
    succeeded: str | None = None  # the last that left nothing behind
    waiting: dict[str, int] = field(default_factory=dict)  # bytes by path
    failed: dict[str, str] = field(default_factory=dict)  # why, by path
    why: str = ""  # nothing could be put there at all


def read(host: HostReader) -> Record:
    """A new one where there is none, or none that can be read: what is there is looked at then."""
    try:
        found = json.loads(host.read(STATE) or "")
        files = json.loads(host.read(FILES) or '{"put": {}}')["put"]
        put = {path: _put(*each) for path, each in files.items()}
        found.pop("format")
        return Record(put=put, **found)
    except (ValueError, LookupError, TypeError, AttributeError):
        return Record(history.now())


def _put(path: str, sha256: str, size: int, sign: list[int]) -> Put:
    return Put(path, sha256, size, tuple(sign))


def write(host: Host, record: Record) -> None:
    """All but the files."""
    said = {name: value for name, value in vars(record).items() if name != "put"}
    host.write(STATE, json.dumps({"format": 1, **said}) + "\n", 0o600)


def write_files(host: Host, record: Record) -> None:
    text = json.dumps({"format": 1, "put": record.put})
    host.write(FILES, text + "\n", 0o600)


def summary(record: Record) -> dict[str, Any]:
    """For programs; docs/json.md says what each key means."""
    arrived = [put for put in record.put.values() if put.sha256]
    return {
        "succeeded": record.succeeded,
        "ended": record.ended,
        "files": len(arrived),
        "bytes": sum(put.size for put in arrived),
        "waiting": len(record.waiting),
        "waiting_bytes": sum(record.waiting.values()),
        "failed": [
            {"path": path, "why": why} for path, why in sorted(record.failed.items())
        ],
        "why": record.why,
    }


def degraded(record: Record, share: Share) -> Iterator[str]:
    """A sentence where outputs are late, and one where some cannot be put there at all."""
    late = history.now(ago_s=60 * share.late_minutes)
    if (record.succeeded or record.began) < late:
        why = f": {record.why}" if record.why else ""
        yield (
            f"no push to {share.source} succeeded since "
            f"{record.succeeded or record.began}, {counted(len(record.waiting), 'file')} "
            f"waiting{why}; sudo backend outputs push"
        )
    if record.failed:
        path, why = min(record.failed.items())
        yield (
            f"{counted(len(record.failed), 'output')} could not be put on "
            f"{share.source}, such as {path!a}, which {why}"
        )


def unwell(record: Record) -> str:
    """How the last push ended, in a sentence; empty where all was well."""
    parts = [
        f"{counted(len(record.waiting), 'file')} waiting" if record.waiting else "",
        f"{counted(len(record.failed), 'file')} failed" if record.failed else "",
        record.why,
    ]
    return ", ".join(filter(None, parts))


def lines(found: Any) -> Iterator[str]:
    """A summary, for a terminal."""
    size = f"{found['bytes']} bytes"
    yield f"outputs     {counted(found['files'], 'file')} on the share ({size})"
    if found["waiting"]:
        size = f"{found['waiting_bytes']} bytes"
        yield f"outputs     {counted(found['waiting'], 'file')} waiting ({size})"
    for each in found["failed"]:
        yield f"outputs     {each['path']!a} {each['why']}"
    why = f", for now: {found['why']}" if found["why"] else ""
    yield f"outputs     last success {found['succeeded'] or 'never'}{why}"
