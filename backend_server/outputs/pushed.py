"""What was put on the share, what waits, and whether somebody should look at that."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Counter, Iterator, NamedTuple

from backend_server.checkout.backend import Share
from backend_server.engine import Host, HostReader, counted, history
from backend_server.host.opened import Sign
from backend_server.outputs.turns import workspace
from backend_server.resources import UNITS
from backend_server.text.manifest import MANIFEST


STATE = "/var/lib/opensafely/push.json"  # anew each minute, so it is small
FILES = "/var/lib/opensafely/pushed.json"  # only where something was put there
_PUTS = ("put", "coming")
_OF_FILES = (*_PUTS, "incoming", "missed")
KEPT = 200_000  # of files that are declared no longer, which stay there
_SHOWN = 20  # files that failed, of a workspace here and of all on a terminal
TIMER = "opensafely-outputs.timer"  # comes with the declaration of a share


class Put(NamedTuple):
    """A file on the share that this host put there, and saw there byte for byte."""

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
    # What was about to get its name: what is there and is this is ours, too.
    coming: dict[str, Put] = field(default_factory=dict)
    # Not as put there: why, by path.
    missed: dict[str, str] = field(default_factory=dict)
    incoming: str = ""  # the folder there for what the last push had half there
    looked: str = ""  # when all that was put there was last looked for
    read: str = ""  # up to which path, byte for byte

    def bound(self) -> None:
        """Of a workspace's failures that do not wait some are kept, and the others counted."""
        seen: Counter[str] = Counter()
        for path in sorted(self.failed.keys() - self.waiting.keys()):
            seen[workspace(path)] += 1
            if seen[workspace(path)] > _SHOWN:
                del self.failed[path]
        more = {of: n - _SHOWN for of, n in seen.items() if n > _SHOWN}
        self.failed.update((of, f"has {n} more") for of, n in more.items())


def read(host: HostReader) -> Record:
    """A new one where there is none, or none that can be read: what is there is looked at then."""
    try:
        found = json.loads(host.read(STATE) or "")
        files = json.loads(host.read(FILES) or '{"put": {}}')
        old = files.get("format") == 1
        found.update((kind, _puts(files.get(kind, {}), old)) for kind in _PUTS)
        found["incoming"] = files.get("incoming", "")
        found["missed"] = files.get("missed") or found.get("missed", {})
        found.pop("format")
        return Record(**found)
    except (ValueError, LookupError, TypeError, AttributeError):
        declared = host.stat(f"{UNITS}/{TIMER}")
        return Record(history.at(declared.st_mtime) if declared else history.now())


def _puts(found: dict[str, list[Any]], old: bool) -> dict[str, Put]:
    """Of an OLD file without what had not arrived, and with manifests as changed: they went whole."""
    puts = {}
    for path, (theirs, sha256, size, sign) in found.items():
        changed = old and path.endswith(f"/{MANIFEST}")
        if sha256:
            puts[path] = Put(theirs, sha256, size, () if changed else tuple(sign))
    return puts


def write(host: Host, record: Record) -> None:
    """All but the files."""
    said = {n: value for n, value in vars(record).items() if n not in _OF_FILES}
    host.write(STATE, json.dumps({"format": 1, **said}) + "\n", 0o600)


def write_files(host: Host, record: Record) -> None:
    files = {name: getattr(record, name) for name in _OF_FILES}
    host.write(FILES, json.dumps({"format": 2, **files}) + "\n", 0o600)


def summary(record: Record) -> dict[str, Any]:
    """For programs; docs/json.md says what each key means."""
    return {
        "succeeded": record.succeeded,
        "ended": record.ended,
        "files": len(record.put),
        "bytes": sum(put.size for put in record.put.values()),
        "waiting": len(record.waiting),
        "waiting_bytes": sum(record.waiting.values()),
        "failed": [{"path": p, "why": why} for p, why in sorted(record.failed.items())],
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
        path, why = next(iter(record.failed.items()))
        first = f"{path!a}, which {why}"
        yield f"outputs could not be put on {share.source}, such as {first}"


def unwell(record: Record) -> str:
    """How the last push ended, in a sentence; empty where all was well."""
    waiting = f"{counted(len(record.waiting), 'file')} waiting" * bool(record.waiting)
    failed = "some failed" if record.failed else ""
    return ", ".join(filter(None, (waiting, failed, record.why)))


def lines(found: Any) -> Iterator[str]:
    """A summary, for a terminal."""
    size = f"{found['bytes']} bytes"
    yield f"outputs     {counted(found['files'], 'file')} on the share ({size})"
    if found["waiting"]:
        size = f"{found['waiting_bytes']} bytes"
        yield f"outputs     {counted(found['waiting'], 'file')} waiting ({size})"
    failed = found["failed"]
    for each in failed[:_SHOWN]:
        yield f"outputs     {each['path']!a} {each['why']}"
    if failed[_SHOWN:]:
        yield f"outputs     and {len(failed) - _SHOWN} more: status --json"
    why = f", for now: {found['why']}" if found["why"] else ""
    yield f"outputs     last success {found['succeeded'] or 'never'}{why}"
