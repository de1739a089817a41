"""Making a host a backend, as its people would."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from typing import TextIO

from sandbox.checkout import PLACE
from sandbox.command import CommandFailed, Done
from sandbox.errors import SandboxError
from sandbox.host import Host


# 4: as declared, but something of the outside world did not answer.
DONE = (0, 4)
LIMIT_S = 1800


@dataclass(frozen=True)
class Managed:
    """One run of manage.sh: what it said, and how long it took."""

    done: Done
    seconds: float


def manage(host: Host, backend: str, check: bool = True) -> Managed:
    """The host is the backend it was told to be, as far as manage.sh can say."""
    began = time.monotonic()
    command = f"cd /{PLACE} && ./{backend}/manage.sh --yes 2>&1"
    done = host.run(command, check=False, timeout_s=LIMIT_S)
    if check and done.returncode not in DONE:
        raise CommandFailed(done)
    return Managed(done, time.monotonic() - began)


def shown(host: Host, backend: str, stream: TextIO) -> int:
    """The exit status of one run, which says what it says while it goes on.

    It has the stream itself: its progress is for a terminal, and it looks for one there.
    """
    command = f"cd /{PLACE} && exec ./{backend}/manage.sh --yes"
    term = {"TERM": os.environ.get("TERM", "dumb")}
    argv = host.machine.enter("bash", "-c", command, env=term)
    nothing = subprocess.DEVNULL
    try:
        return subprocess.call(
            argv, timeout=LIMIT_S, stdin=nothing, stdout=stream, stderr=stream
        )
    except subprocess.TimeoutExpired:
        raise SandboxError(f"manage.sh has not ended in {LIMIT_S} s") from None
