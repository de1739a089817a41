"""outputs lay, review and restore: what Airlock is shown of a workspace, and the way back of an edit."""

from __future__ import annotations

import os
from datetime import datetime, timezone

from backend_server.cli.ending import record, say_lines, told
from backend_server.host import Host
from backend_server.review import laying, restoring
from backend_server.run.place import Asked, Named, load
from backend_server.text.errors import OK, Refused
from backend_server.text.roles import OPENSAFELY_ID


class Restore(Named):
    path: str = ""


def lay(options: Asked, host: Host) -> int:
    """What Airlock is shown is as the workspaces have it. Silent when nothing was to do."""
    _refuse_without_airlock(options)
    _be_the_service()
    laying.lay(lambda line: say_lines([line]))
    return OK


def review(options: Named, host: Host) -> int:
    """What Airlock shows of a workspace: edits, what they are of, what to look at, and what it leaves out."""
    _refuse_without_airlock(options)
    entries, state = restoring.shown(options.subject)
    told_of = state["told"]
    keys = ("redacted_from", "redacted_by", "redacted_at", "note")
    found = [
        {"path": path, **{key: said[key] for key in keys}}
        for path, said in sorted(entries.items())
        if "redacted_from" in said
    ]
    data = {"shown": sorted(entries), "redactions": found, "told": told_of}
    lines = [path for path in sorted(entries) if path not in {r["path"] for r in found}]
    text = laying.notes(entries, told_of).splitlines()
    return told(options, {"workspace": options.subject, **data}, [*lines, *text])


def restore(options: Restore, host: Host) -> int:
    """The workspace has an output as its job made it; what was there is kept beside it."""
    _refuse_without_airlock(options)
    workspace, path = options.subject, options.path
    restoring.refuse_unknown(workspace, path)
    when = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    # First, as this may be killed. Names of files may tell too much for the history.
    done = f"an output of {workspace} is as its job made it again"
    record(host, options, "outputs restore", done)
    _be_the_service()
    kept = restoring.restored(workspace, path, when)
    lines = [f"{path!a} is as its job made it"]
    lines += [f"what was there is now {kept!a}"] if kept else []
    return told(options, {"subject": workspace, "path": path, "kept": kept}, lines)


def _refuse_without_airlock(options: Asked) -> None:
    if not load(options.backend, options.checkout).airlock:
        raise Refused(f"{options.backend}/backend.py declares no airlock")


def _be_the_service() -> None:
    """Reviewers write in the trees: what leads out of them leads to what the service may do, and no further."""
    os.setgroups([])
    os.setresgid(*[OPENSAFELY_ID] * 3)
    os.setresuid(*[OPENSAFELY_ID] * 3)
