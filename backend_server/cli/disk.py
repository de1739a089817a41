"""host disk and tidy: what fills the disks, and what may go."""

from __future__ import annotations

import contextlib
from datetime import datetime, timezone

from backend_server.cli.ending import told
from backend_server.docker import usage
from backend_server.engine import Host, HostReader, counted, history, lock
from backend_server.jobs import tidy as tidying
from backend_server.jobs import updates
from backend_server.run.place import Asked, load, of_host_itself
from backend_server.text.errors import DEGRADED, OK, Refused, UserError


def show_disk(options: Asked, host: HostReader) -> int:
    """What fills the disks, by the greatest first."""
    full = usage.file_systems(host, "/")
    whole, biggest, unknown = usage.usage(host)
    found = {
        "file_systems": [each._asdict() for each in full],
        "usage": [each._asdict() for each in whole],
        "workspaces": [each._asdict() for each in biggest],
        "unknown": unknown,
        "kept": _kept(options),
    }
    sizes = (f"{usage.size(each.bytes):>8}  {each.path}" for each in (*whole, *biggest))
    more = [f"unknown: {why}" for why in unknown]
    if found["kept"]:
        more.append(f"Airlock's requests and its audit are kept {found['kept']}")
    told(options, found, (*map(str, full), *sizes, *more))
    return DEGRADED if any(each.percent >= usage.FULL for each in full) else OK


def _kept(options: Asked) -> str:
    """How long, as the backend declares it; empty where that cannot be read, or is of no Airlock."""
    with contextlib.suppress(Refused):
        airlock = load(options.backend, options.checkout).airlock
        return airlock.kept if airlock else ""
    return ""


def tidy(options: Asked, host: Host) -> int:
    """Images unused for thirty days are gone, and which held packages are old is known."""
    try:
        with lock.only_run(f"{lock.TIDY}, since {history.now()}"):
            found, lines = _tidy(options, host)
    except lock.Busy as busy:  # tomorrow is another day
        found, lines = {"done": ""}, [f"nothing was done: {busy}"]
    return told(options, found, lines)


def _tidy(options: Asked, host: Host) -> tuple[dict[str, object], list[str]]:
    this = of_host_itself(options, host)
    today = datetime.now(timezone.utc).date()
    waiting = updates.note(host, today)
    try:
        done = tidying.tidy(host, this, today)
    except UserError as error:  # tried again tomorrow
        done = tidying.Tidied([], 0, [str(error)])
    held = [update._asdict() for update in waiting]
    images = counted(len(done.removed), "image")
    last = f"{options.backend} host tidy: {images} removed, {usage.size(done.bytes)}"
    lines = [*(f"removed {name}" for name in done.removed), *done.notes, last]
    return {**done._asdict(), "updates": held}, lines
