"""Databases of services (SQLite), whatever they have made of them."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from typing import Iterator


PATIENCE_S = 10


@contextlib.contextmanager
def opened(
    path: str, write: bool = False, wait_s: float = 1
) -> Iterator[sqlite3.Connection]:
    """It answers what is asked of it within PATIENCE_S, after WAIT_S at most for who has it locked.

    Who does not WRITE makes and changes no file there. Raises sqlite3.Error where something else
    than a file is there, such as a pipe, at which whoever only reads would wait for ever.
    """
    if os.path.islink(path) or not os.path.isfile(path):
        raise sqlite3.OperationalError(f"{path} is no file")
    end = time.monotonic() + PATIENCE_S
    place = f"file:{path}?mode=rw" if write else _reading(path)
    asked = sqlite3.connect(place, uri=True, timeout=wait_s)
    with contextlib.closing(asked):
        asked.set_progress_handler(lambda: time.monotonic() > end, 10_000)
        yield asked


def _reading(path: str) -> str:
    """What is in the log beside it counts, whoever wrote that was killed too.

    The log's index is not written to: where nobody works on it, SQLite makes one in memory.
    Without a log there is nothing but the file, and no index is made.
    """
    how = "readonly_shm" if os.path.exists(f"{path}-wal") else "immutable"
    return f"file:{path}?mode=ro&{how}=1"
