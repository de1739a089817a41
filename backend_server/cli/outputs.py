"""outputs …: level 4 outputs go to the share, or are shown and released by Airlock."""

from __future__ import annotations

import json
import sys
from collections import Counter

from backend_server.checkout import gather
from backend_server.checkout.service import STUCK
from backend_server.cli.ending import record as note
from backend_server.cli.ending import say_lines, told
from backend_server.host import Host, record
from backend_server.host.opened import NotPlain
from backend_server.outputs import pushed
from backend_server.outputs.push import push as push_to
from backend_server.outputs.within import become
from backend_server.run.place import Asked, Named, load, of_host_itself
from backend_server.storage.component import WORKSPACES
from backend_server.text.errors import DEGRADED, FAILED, OK, Refused, UserError
from backend_server.text.roles import MEDIUM, OPENSAFELY_ID


def push(options: Asked, host: Host) -> int:
    """What manifests declare is on the share, but for what is said. Silent when nothing was to do."""
    this = of_host_itself(options, host)
    share = this.backend.share
    if share is None:
        raise Refused(
            f"{this.backend.name}/backend.py declares no share: outputs stay on this host",
            hint="where they should go elsewhere, declare one there",
        )
    stream = sys.stderr if options.json else None
    done = push_to(host, share, lambda line: say_lines([line], stream))
    told(options, pushed.summary(done), ())
    unwell = pushed.unwell(done)
    if unwell:
        say_lines([f"{this.backend.name} outputs push: {unwell}"], sys.stderr)
    if done.why or done.waiting:
        return DEGRADED
    return FAILED if done.failed else OK


def releases(options: Asked, host: Host, *, look: bool = False) -> int:
    """Requests, the oldest first, by state; no names of files. With LOOK, what is stuck."""
    from backend_server.airlock import health  # a push needs none of it
    from backend_server.airlock.requests import requests

    this = of_host_itself(options, host)
    if not this.backend.airlock:
        raise Refused(f"{this.backend.name}/backend.py declares no airlock")
    rows = requests(gather.everybody(this.people))
    if look:
        before = json.loads(host.read(STUCK) or "{}").get("found", [])
        found = list(health.unwell(this, host, this.backend.airlock, rows))
        # What mends itself meanwhile, as an update, is nothing to tell.
        lasts = [each for each in found if each in before]
        states = Counter(r.status.lower().replace("_", " ") for r in rows)
        record.keep(host, STUCK, {"found": found, "lasts": lasts, "states": states})
        told(options, {"degraded": found}, found)
        return DEGRADED if found else OK
    lines = (
        f"{r.status:<18} since {r.since[:16]}Z {r.id} of {r.workspace} by {r.author}: "
        f"{r.uploaded} of {r.files} files have arrived"
        + ("; on no roster here: " + ", ".join(r.strangers) if r.strangers else "")
        for r in rows
    )
    return told(options, {"requests": [r._asdict() for r in rows]}, lines)


def lay(options: Asked, host: Host) -> int:
    """What Airlock is shown is as the workspaces have it. Silent when nothing was to do."""
    from backend_server.review import laying

    if not load(options.backend, options.checkout).airlock:
        raise Refused(f"{options.backend}/backend.py declares no airlock")
    _be_the_service()
    said: list[str] = []
    laying.lay(said.append)
    return told(options, {"said": said}, said)


def review(options: Named, host: Host) -> int:
    """What points to people in each table that Airlock is shown; it approves nothing."""
    from backend_server.review import laying

    _be_the_service()
    found = laying.pointed(options.subject)
    lines = [f"{path!a}: {each}" for path, said in found.items() for each in said]
    data = {"subject": options.subject, "points": found}
    return told(options, data, lines or ["found nothing, which proves nothing"])


def restore(options: Named, host: Host, *, path: str = "") -> int:
    """The workspace has an output as its job made it; what was there is kept beside it."""
    from backend_server.review import laying

    workspace = options.subject
    laying.made(workspace, path)
    # First, as this may be killed. Names of files may tell too much for the history.
    done = f"an output of {workspace} goes back to what its job made"
    note(host, options, "outputs restore", done)
    _be_the_service()
    try:
        kept = laying.restored(workspace, path)
    except OSError as error:
        why = f"{path!a} stays as it was: {error.strerror}"
        raise UserError(why, "sudo backend host disk") from None
    except NotPlain as error:
        there = f"{WORKSPACES[MEDIUM]}/{workspace}"
        raise UserError(f"{path!a} {error}", f"ls -lR {there}") from None
    now = f"{path!a} is as its job made it"
    now += f"; what was there is now {kept!a}" if kept else ""
    return told(options, {"subject": workspace, "path": path, "kept": kept}, [now])


def _be_the_service() -> None:
    """Reviewers write in the trees: what leads out of them leads to what the service may do, and no further."""
    become(OPENSAFELY_ID, OPENSAFELY_ID)
