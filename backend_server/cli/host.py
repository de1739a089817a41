"""host repair and undo: looking after this host."""

from __future__ import annotations

from backend_server.access import confirm
from backend_server.cli.ending import told
from backend_server.host.writer import Host
from backend_server.run.place import Asked
from backend_server.storage import modes
from backend_server.text.errors import FAILED, OK


class Repair(Asked):
    recent: bool = False


def repair(options: Repair) -> int:
    """The data trees' files are open to whom they should be.

    Silent where only recent changes were asked for, and there was none.
    """
    counts = modes.repair(Host(), recent=options.recent)
    says = counts.seen or not options.recent
    line = f"{options.backend} host repair: {counts}"
    told(options, vars(counts), [line] if says else [])
    return FAILED if counts.failed else OK


def undo(options: Asked) -> int:
    """What nobody has confirmed yet is as before, at once, though a run may wait for it."""
    paths = confirm.take_back(Host(), str(options.checkout))
    found = ", ".join(paths) or "nothing to bring back"
    line = f"{options.backend} host undo: {found}"
    told(options, {"brought_back": paths}, [line])
    return OK
