"""Databases of services (SQLite), whatever they have made of them."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from typing import Iterator


PATIENCE_S = 10


@contextlib.contextmanager
def opened(path: str, how: str) -> Iterator[sqlite3.Connection]:
    """It answers what is asked of it within PATIENCE_S.

    Raises sqlite3.Error where something else than a file is there, such as a pipe, at which
    whoever only reads would wait for ever.
    """
    if os.path.islink(path) or not os.path.isfile(path):
        raise sqlite3.OperationalError(f"{path} is no file")
    end = time.monotonic() + PATIENCE_S
    asked = sqlite3.connect(f"file:{path}?mode={how}", uri=True, timeout=PATIENCE_S)
    with contextlib.closing(asked):
        asked.set_progress_handler(lambda: time.monotonic() > end, 10_000)
        yield asked
