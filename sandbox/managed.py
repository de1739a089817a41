"""Making a host a backend, as its people would."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sandbox.checkout import PLACE
from sandbox.command import CommandFailed, Done
from sandbox.host import Host


# 4: as declared, but something of the outside world did not answer.
DONE = (0, 4)


@dataclass(frozen=True)
class Managed:
    """One run of manage.sh: what it said, and how long it took."""

    done: Done
    seconds: float


def manage(host: Host, backend: str, check: bool = True) -> Managed:
    """The host is the backend it was told to be, as far as manage.sh can say."""
    began = time.monotonic()
    command = f"cd /{PLACE} && ./{backend}/manage.sh --yes 2>&1"
    done = host.run(command, check=False, timeout_s=1800)
    if check and done.returncode not in DONE:
        raise CommandFailed(done)
    return Managed(done, time.monotonic() - began)
