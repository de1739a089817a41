"""Trees and layers that nothing will ask for again."""

from __future__ import annotations

import os
import time
from pathlib import Path

from sandbox.command import run


# Another run may have chosen one and not mounted it yet.
GRACE_S = 600
# For what is in use without being mounted: no run takes longer.
DAY_S = 86400


def used(path: Path, kind: str, grace_s: float = GRACE_S) -> None:
    """This one was used now; others of its kind that nobody uses are gone."""
    os.utime(path)
    mounts = Path("/proc/self/mountinfo").read_text()
    for other in path.parent.glob(f"{kind}-*"):
        old = time.time() - other.stat().st_mtime > grace_s
        if old and other != path and str(other) not in mounts:
            run("rm", "-rf", "--one-file-system", other)
