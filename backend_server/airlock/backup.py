"""Copies of Airlock's database, each whole and alone in a file, made while it is written to."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from backend_server.airlock.requests import DATABASE, opened
from backend_server.text.errors import UserError


FOLDER = "/var/lib/opensafely/backups/airlock"  # root's
KEPT = 14
_NAME = "{}.sqlite3"  # by when it was made, so that names are in order


def back_up(when: str, source: str = DATABASE, folder: str = FOLDER) -> str:
    """There is a copy of this moment, at the path that is given back, and no more than KEPT.

    What cp(1) takes lacks what is in the log beside it. Raises UserError where the copy is not
    whole: those before stay.
    """
    path = Path(folder, _NAME.format(when))
    new = path.with_suffix(".new")
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with contextlib.ExitStack() as both:
        now = both.enter_context(contextlib.closing(opened(source)))
        copy = both.enter_context(contextlib.closing(sqlite3.connect(str(new))))
        now.backup(copy)
        copy.execute("PRAGMA journal_mode = delete")
        (said,) = copy.execute("PRAGMA integrity_check").fetchone()
    if said != "ok":
        raise UserError(f"{source} is not whole: {said}", f"ls -t {folder}")
    with new.open("rb") as stream:
        os.fsync(stream.fileno())
    new.rename(path)
    for old in copies(folder)[:-KEPT]:
        old.unlink()
    return str(path)


def copies(folder: str = FOLDER) -> list[Path]:
    """The oldest first."""
    return sorted(Path(folder).glob(_NAME.format("*")))
