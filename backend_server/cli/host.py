"""host …: looking after this host."""

from __future__ import annotations

import json
from dataclasses import dataclass

from backend_server.access import confirm
from backend_server.cli.ending import FAILED, OK
from backend_server.host.writer import Host
from backend_server.run.run import Asked
from backend_server.storage import modes


@dataclass(frozen=True)
class Repair(Asked):
    recent: bool = False


def repair(options: Repair) -> int:
    """The data trees' files are open to whom they should be.

    Silent where only recent changes were asked for, and there was none.
    """
    counts = modes.repair(Host(), recent=options.recent)
    if options.json:
        print(json.dumps({"format": 1, **vars(counts)}))
    elif counts.seen or not options.recent:
        print(f"{options.backend} host repair: {counts}")
    return FAILED if counts.failed else OK


def undo(options: Asked) -> int:
    """What nobody has confirmed yet is as before, at once, though a run may wait for it."""
    paths = confirm.take_back(Host(), str(options.checkout))
    if options.json:
        print(json.dumps({"format": 1, "brought_back": paths}))
    else:
        found = ", ".join(paths) or "nothing to bring back"
        print(f"{options.backend} host undo: {found}")
    return OK
