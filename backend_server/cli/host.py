"""host repair and undo: looking after this host."""

from __future__ import annotations

from backend_server.access import confirm
from backend_server.cli.ending import outlive_terminal, told
from backend_server.engine import Host, history, lock
from backend_server.run.place import Asked, load
from backend_server.services import meanwhile
from backend_server.storage import modes
from backend_server.text.errors import FAILED, OK


def repair(options: Asked, host: Host, *, recent: bool = False) -> int:
    """The data trees' files are open to whom they should be.

    Silent where only recent changes were asked for, and there was none.
    """
    archives = load(options.backend, options.checkout).archives
    counts = modes.repair(host, recent=recent, archives=archives)
    says = counts.seen or not recent
    line = f"{options.backend} host repair: {counts}"
    told(options, vars(counts), [line] if says else [])
    return FAILED if counts.failed else OK


def undo(options: Asked, host: Host) -> int:
    """What nobody has confirmed yet is as before, at once, though a run may wait for it.

    What else somebody was to put back who is gone, is.
    """
    checkout = str(options.checkout)
    outlive_terminal(options)
    paths = confirm.take_back(host, checkout)
    left = meanwhile.left(host)
    if left:
        _put_back(host, checkout)
    units = [unit for unit in left if not unit.startswith("/")]
    paths += tuple(path for path in left if path.startswith("/"))
    found = ", ".join((*paths, *units)) or "nothing to bring back"
    line = f"{options.backend} host undo: {found}"
    return told(options, {"brought_back": paths, "units": units}, [line])


def _put_back(host: Host, checkout: str) -> None:
    """Raises Busy while somebody is at it. A boot waits for this, and units for the boot."""
    who = (host.read(lock.LOCK) or "what was under way before a reboot").strip()
    with lock.only_run(history.holder(host, "host undo")):
        meanwhile.put_back_left(host, checkout, who, "--no-block")
