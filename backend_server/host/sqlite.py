"""SQLite's databases, read as they are, whoever works on them: no file there is made or changed."""

from __future__ import annotations

import os


def reading(path: str) -> str:
    """For sqlite3.connect, with uri: what is in the log beside it counts, whoever wrote that was killed too.

    The log's index is not written to: where nobody works on it, SQLite makes one in memory.
    Without a log there is nothing but the file, and no index is made.
    """
    how = "readonly_shm" if os.path.exists(f"{path}-wal") else "immutable"
    return f"file:{path}?mode=ro&{how}=1"
