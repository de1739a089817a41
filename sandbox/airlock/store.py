"""Airlock's database: the tables that others read, by the names and columns of the real one."""

from __future__ import annotations

import base64
import json
import secrets
import sqlite3
import time
import zlib
from datetime import datetime, timezone
from pathlib import Path
from typing import Any


# As Django makes them from the real one's models: local_db's migration 0029, users' and sessions' first.
SCHEMA = """
CREATE TABLE IF NOT EXISTS local_db_requestmetadata (
    id text PRIMARY KEY, workspace text NOT NULL, author text NOT NULL,
    created_at datetime NOT NULL, status text NOT NULL,
    review_turn integer NOT NULL DEFAULT 0, turn_reviewers text NULL,
    submitted_reviews text NOT NULL DEFAULT '{}', organisations text NOT NULL DEFAULT '',
    project text NOT NULL DEFAULT '', last_submitted_at datetime NULL
);
CREATE TABLE IF NOT EXISTS local_db_filegroupmetadata (
    id integer PRIMARY KEY AUTOINCREMENT, name text NOT NULL,
    request_id text NOT NULL REFERENCES local_db_requestmetadata (id),
    context text NOT NULL DEFAULT '', controls text NOT NULL DEFAULT '',
    created_at datetime NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at datetime NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE IF NOT EXISTS local_db_requestfilemetadata (
    id integer PRIMARY KEY AUTOINCREMENT, relpath text NOT NULL,
    filegroup_id bigint NOT NULL REFERENCES local_db_filegroupmetadata (id),
    file_id text NOT NULL, filetype text NOT NULL,
    request_id text NOT NULL REFERENCES local_db_requestmetadata (id),
    col_count integer NULL, 'commit' text NOT NULL DEFAULT '',
    job_id text NOT NULL DEFAULT '', row_count integer NULL,
    size integer NOT NULL DEFAULT 0, timestamp real NOT NULL DEFAULT 0,
    repo varchar(200) NOT NULL DEFAULT '', released_at datetime NULL,
    released_by text NULL, upload_attempts integer NOT NULL DEFAULT 0,
    uploaded bool NOT NULL DEFAULT 0, uploaded_at datetime NULL,
    upload_attempted_at datetime NULL
);
CREATE TABLE IF NOT EXISTS local_db_auditlog (
    id integer PRIMARY KEY AUTOINCREMENT, type text NOT NULL, user text NOT NULL,
    workspace text NULL, request text NULL, path text NULL, extra text NOT NULL,
    created_at datetime NOT NULL, hidden bool NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS users_user (
    password varchar(128) NOT NULL DEFAULT '', last_login datetime NULL,
    user_id text PRIMARY KEY, api_data text NOT NULL, last_refresh real NOT NULL
);
CREATE TABLE IF NOT EXISTS django_session (
    session_key varchar(40) PRIMARY KEY, session_data text NOT NULL,
    expire_date datetime NOT NULL
);
"""
WEEKS_8 = 8 * 7 * 24 * 3600


def now(ago_s: float = 0) -> str:
    """As Django writes it: UTC, and without saying so."""
    found = datetime.fromtimestamp(time.time() - ago_s, timezone.utc)
    return str(found.replace(tzinfo=None))


def opened(folder: Path) -> sqlite3.Connection:
    """Each writes at once, and waits for others: a backup must not count on one file."""
    made = sqlite3.connect(str(folder / "db.sqlite3"), timeout=5, isolation_level=None)
    made.row_factory = sqlite3.Row
    made.execute("PRAGMA journal_mode = WAL")
    made.execute("PRAGMA foreign_keys = ON")
    made.executescript(SCHEMA)
    return made


def signed(value: dict[str, object]) -> str:
    """As Django writes a session: its values, and what they are signed with; packed where that is shorter."""
    data = json.dumps(value, separators=(",", ":")).encode()
    packed = zlib.compress(data)
    shorter = len(packed) < len(data) - 1
    text = base64.urlsafe_b64encode(packed if shorter else data).decode().rstrip("=")
    return f"{'.' if shorter else ''}{text}:1u0abc:{secrets.token_urlsafe(32)}"


def unsigned(text: str) -> dict[str, object]:
    known = text.partition(":")[0]
    data = base64.urlsafe_b64decode(known.lstrip(".") + "==")
    data = zlib.decompress(data) if known.startswith(".") else data
    return dict(json.loads(data))


def shown(folder: Path) -> dict[str, Any]:
    """What a job made that may be looked at; the real one is as strict."""
    text = (folder / "metadata/manifest.json").read_text()
    entries = {
        p: e for p, e in json.loads(text)["outputs"].items() if not e["excluded"]
    }
    return {p: e for p, e in entries.items() if e["level"] == "moderately_sensitive"}


class Store:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = opened(folder)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.database.close()

    # ---- sessions

    def begin_session(self, user: dict[str, object]) -> str:
        key = secrets.token_hex(16)
        row = (key, signed({"_auth_user_id": user["username"], **user}), now(-WEEKS_8))
        self.database.execute("INSERT INTO django_session VALUES (?, ?, ?)", row)
        return key

    def session(self, key: str) -> dict[str, object] | None:
        asked = "SELECT session_data FROM django_session WHERE session_key = ?"
        found = self.database.execute(asked, (key,)).fetchone()
        return unsigned(found[0]) if found else None

    # ---- requests

    def add(self, workspace: str, author: str, files: dict[str, str]) -> str:
        """A request for these files, by path and hash, is submitted."""
        known = secrets.token_hex(13).upper()
        self.database.execute("BEGIN IMMEDIATE")
        self.database.execute(
            "INSERT INTO local_db_requestmetadata (id, workspace, status, author, created_at) "
            "VALUES (?, ?, 'SUBMITTED', ?, ?)",
            (known, workspace, author, now()),
        )
        group = self.database.execute(
            "INSERT INTO local_db_filegroupmetadata (name, request_id) VALUES ('default', ?)",
            (known,),
        ).lastrowid
        self.database.executemany(
            "INSERT INTO local_db_requestfilemetadata (relpath, file_id, filetype, "
            "filegroup_id, request_id) VALUES (?, ?, 'OUTPUT', ?, ?)",
            [(path, file, group, known) for path, file in files.items()],
        )
        self.database.execute("COMMIT")
        self.note("REQUEST_SUBMIT", author, workspace, known)
        return known

    def requests(self, status: str = "") -> list[sqlite3.Row]:
        asked = "SELECT * FROM local_db_requestmetadata WHERE ? IN ('', status) ORDER BY created_at"
        return self.database.execute(asked, (status,)).fetchall()

    def files(self, known: str) -> list[sqlite3.Row]:
        asked = (
            "SELECT f.* FROM local_db_requestfilemetadata f JOIN local_db_filegroupmetadata g "
            "ON f.filegroup_id = g.id WHERE g.request_id = ?"
        )
        return self.database.execute(asked, (known,)).fetchall()

    def review(self, known: str, user: str) -> str:
        """What the request is after this approval: reviewed, once two others than its author gave one."""
        asked = "SELECT * FROM local_db_requestmetadata WHERE id = ?"
        found = self.database.execute(asked, (known,)).fetchone()
        reviews = json.loads(found["submitted_reviews"])
        if user == found["author"] or user in reviews:
            raise PermissionError(f"{user} may not review this")
        reviews[user] = now()
        status = "REVIEWED" if len(reviews) > 1 else "PARTIALLY_REVIEWED"
        self.set(known, status, submitted_reviews=json.dumps(reviews))
        self.note("REQUEST_REVIEW", user, found["workspace"], known)
        return status

    def set(self, known: str, status: str, **fields: str) -> None:
        names = "".join(f", {name} = ?" for name in fields)
        change = f"UPDATE local_db_requestmetadata SET status = ?{names} WHERE id = ?"
        self.database.execute(change, (status, *fields.values(), known))

    def set_file(self, number: int, **fields: object) -> None:
        names = ", ".join(f"{name} = ?" for name in fields)
        change = f"UPDATE local_db_requestfilemetadata SET {names} WHERE id = ?"
        self.database.execute(change, (*fields.values(), number))

    def note(self, kind: str, user: str, workspace: str, request: str) -> None:
        self.database.execute(
            "INSERT INTO local_db_auditlog (type, user, workspace, request, extra, created_at) "
            "VALUES (?, ?, ?, ?, '{}', ?)",
            (kind, user, workspace, request, now()),
        )
