"""Who is logged in to Airlock: by its database, which keeps that for weeks."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sqlite3
import zlib
from typing import Iterator

from backend_server.host import sqlite
from backend_server.text.errors import UserError


_MOST = 1 << 20  # bytes of what somebody packed
_NONSENSE = (ValueError, AttributeError, TypeError, RecursionError, zlib.error)


def of(path: str, user: str) -> list[str]:
    """The keys of somebody's sessions; none where there are none to read.

    Where somebody keeps it locked nobody knows, and that counts as one.
    """
    ask = "SELECT session_key, session_data FROM django_session"
    try:
        with _opened(path, write=False) as there:
            found = dict(there.execute(ask))
    except sqlite3.Error as error:
        return ["unknown"] if "locked" in str(error) else []
    return [key for key, data in found.items() if who(data) == user.lower()]


def end(path: str, user: str) -> None:
    """A page of theirs that is open is at its login with the next thing that is asked of it."""
    ask = "DELETE FROM django_session WHERE session_key = ?"
    theirs = [(key,) for key in of(path, user)]
    try:
        with _opened(path, write=True) as there:
            there.executemany(ask, theirs)
            there.commit()
    except sqlite3.Error as error:
        hint = "sudo backend service restart airlock; sudo backend"
        raise UserError(
            f"{user} is still logged in to Airlock: {error}", hint
        ) from None


def who(data: str) -> str:
    """Of what Django signs, `[.]BASE64:TIME:SIGNATURE`, packed where it begins with a dot."""
    with contextlib.suppress(*_NONSENSE):
        text = data.partition(":")[0]
        said = base64.urlsafe_b64decode(text.lstrip(".") + "==")
        if text.startswith("."):
            said = zlib.decompressobj().decompress(said, _MOST)
        return str(json.loads(said).get("_auth_user_id", "")).lower()
    return ""


@contextlib.contextmanager
def _opened(path: str, write: bool) -> Iterator[sqlite3.Connection]:
    """With no more rights than its container has, which may have laid a link there."""
    owner = os.stat(os.path.dirname(path))
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        with sqlite.opened(path, write, 3 if write else 1) as found:
            yield found
    finally:
        os.seteuid(os.getuid())
        os.setegid(os.getgid())
