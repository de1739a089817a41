"""outputs push: level 4 outputs go to the share."""

from __future__ import annotations

import sys

from backend_server.cli.ending import say_lines, told
from backend_server.host import Host
from backend_server.outputs import pushed
from backend_server.outputs.push import push as push_to
from backend_server.run.place import Asked, of_host_itself
from backend_server.text.errors import DEGRADED, FAILED, OK, Refused


def push(options: Asked) -> int:
    """What manifests declare is on the share, but for what is said. Silent when nothing was to do."""
    host = Host()
    this = of_host_itself(options, host)
    share = this.backend.share
    if share is None:
        raise Refused(
            f"{this.backend.name}/backend.py declares no share: outputs stay on this host",
            hint="where they should go elsewhere, declare one there",
        )
    stream = sys.stderr if options.json else None
    record = push_to(host, share, lambda line: say_lines([line], stream))
    told(options, pushed.summary(record), ())
    unwell = pushed.unwell(record)
    if unwell:
        say_lines([f"{this.backend.name} outputs push: {unwell}"], sys.stderr)
    if record.why or record.waiting:
        return DEGRADED
    return FAILED if record.failed else OK
