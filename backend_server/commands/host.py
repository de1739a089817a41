"""host …: looking after this host."""

from __future__ import annotations

import json

from backend_server import modes
from backend_server.commands.output import FAILED, OK
from backend_server.host.writer import Host
from backend_server.run import Options


def repair(options: Options) -> int:
    """The data trees' files are open to whom they should be.

    Silent where only recent changes were asked for, and there was none.
    """
    counts = modes.repair(Host(), recent=options.recent)
    if options.json:
        print(json.dumps({"format": 1, **vars(counts)}))
    elif counts.seen or not options.recent:
        print(f"{options.backend} host repair: {counts}")
    return FAILED if counts.failed else OK
