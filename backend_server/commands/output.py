"""What every command has in common: exit statuses, and printing that nobody may read."""

from __future__ import annotations

import os
import sys
from typing import Iterable, TextIO

from backend_server import engine
from backend_server.run import Run


OK, FAILED, REFUSED, CHANGES, DEGRADED = range(5)  # the first of 2, 1, 3, 4 that holds


def ended(run: Run) -> int:
    """What a run that was not refused ends with."""
    if failed(run):
        return FAILED
    return DEGRADED if run.degraded else OK


def failed(run: Run) -> bool:
    unwell = run.unrecorded or run.taken_back
    outside = engine.unanswered(run.outcomes)
    wrong = any(o.error for o in run.outcomes if o not in outside)
    return wrong or unwell is not None


def say_lines(lines: Iterable[str], stream: TextIO | None = None) -> None:
    for line in lines:
        try:
            print(line, flush=True, file=stream)
        except OSError:  # nobody reads on: no reason to leave a run half done
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
