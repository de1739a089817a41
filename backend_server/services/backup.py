"""Copies of what a service works on: its database, each time whole, and its files."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Iterator, Sequence

from backend_server.checkout.service import BACKUPS, unit_of
from backend_server.engine import Host, HostReader, Refused, UserError, history
from backend_server.engine.lock import only_run


KEPT = 14
_LOCK = "/run/opensafely/backup.lock"
_DATABASE = "db.sqlite3"


def back_up(
    host: Host, name: str, keeps: Sequence[str], spare: Path | None = None
) -> Path:
    """There is a copy of this moment, at the path that is given back, and no more than KEPT.

    What a database leads to is copied after it; files that are as they were in the copy before
    take no more room. Raises UserError where the copy is not whole: those before stay.
    """
    folder, (database, *trees) = Path(BACKUPS, name), keeps
    second, part = divmod(time.time(), 1)  # two within one second are two
    copy = folder / f"{history.at(second)[:-1]}.{int(part * 1000):03}Z"
    new = folder / ".new"
    with only_run(f"a backup of {name}", _LOCK, wait=True):
        host.run("rm", "--recursive", "--force", str(new))
        new.mkdir(mode=0o700, parents=True)
        copy_database(database, str(new / _DATABASE))
        for tree in trees:
            last = f"--link-dest={folder}/{max(host.names(str(folder)))}"
            host.run("rsync", "--archive", "--relative", last, f"/.{tree}/", f"{new}/")
        new.rename(copy)
        for old in {*copies(name)[:-KEPT]} - {spare}:
            host.run("rm", "--recursive", "--force", str(old))
    return copy


def copy_database(source: str, target: str) -> None:
    """Whole: what cp(1) takes lacks what is in the log beside it."""
    import sqlite3  # seldom needed, and slow

    from backend_server.host import sqlite

    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    copy = sqlite3.connect(target)
    try:
        whole = sqlite.opened(source, wait_s=sqlite.PATIENCE_S)
        with contextlib.closing(copy), whole as now:
            now.backup(copy)
            copy.execute("PRAGMA journal_mode = delete")
            (said,) = copy.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.Error as error:
        said = str(error)
    if said != "ok":
        raise UserError(f"{source} was not copied whole: {said}", f"ls -lR {BACKUPS}")


def copies(name: str) -> list[Path]:
    """The oldest first."""
    return sorted(Path(BACKUPS, name).glob("2*"))


def late(host: HostReader, name: str) -> Iterator[str]:
    """A sentence where there is none of the last night."""
    folder = host.stat(f"{BACKUPS}/{name}")
    made = history.at(folder.st_mtime) if folder else ""
    last = max(host.names(f"{BACKUPS}/{name}"), default=made)
    if folder and last < history.now(ago_s=36 * 3600):
        yield (
            f"there is no backup of {name} since {last}; sudo backend service backup {name}"
        )


def named(name: str, when: str) -> Path:
    """That copy, or the last. Raises Refused where there is none."""
    found = [each for each in copies(name) if not when or each.name == when]
    if not found:
        raise Refused(f"there is no such copy of {name}", f"ls {BACKUPS}/{name}")
    return found[-1]


def restore(host: Host, name: str, keeps: Sequence[str], copy: str) -> None:
    """The service is stopped, with its database of then, and has the files of then too."""
    database, *trees = keeps
    log, its_index, new = (f"{database}{end}" for end in ("-wal", "-shm", ".new"))
    host.run("systemctl", "stop", unit_of(name))
    # No link of the service's is written through.
    host.run("cp", "--remove-destination", f"{copy}/{_DATABASE}", new)
    host.run("chown", f"--reference={os.path.dirname(database)}", new)
    host.run("rm", "--force", log, its_index)
    host.run("mv", new, database)
    for tree in trees:
        host.run("rsync", "--archive", f"{copy}{tree}/", tree)


def before(host: Host, name: str, keeps: Sequence[str]) -> tuple[str, ...]:
    """There is a copy of this moment, and a file for `meanwhile` to keep, by which that comes back."""
    if not keeps or not os.path.exists(keeps[0]):
        return ()
    return (noted(host, name, keeps, back_up(host, name, keeps)),)


def noted(host: Host, name: str, keeps: Sequence[str], copy: Path) -> str:
    """It counts for as long as it is kept together with others."""
    path = f"{BACKUPS}/{name}/.before"
    host.write(path, json.dumps([name, keeps, str(copy)]), 0o600)
    return path


def bring_back(host: Host, path: str) -> None:
    restore(host, *json.loads(host.read(path) or ""))
