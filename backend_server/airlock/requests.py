"""What Airlock's database says: which requests there are, and which wait for too long. It is only read."""

from __future__ import annotations

import os
import sqlite3
from typing import Collection, NamedTuple

from backend_server.checkout.service import AIRLOCKS
from backend_server.host import sqlite
from backend_server.text.errors import UserError


_MENDS = "sudo backend service logs airlock; sudo backend service restore airlock"
ENDED = ("RELEASED", "REJECTED", "WITHDRAWN")
PATIENCE_S = 600  # of who has released something, until it has arrived

# Names are of the outputs alone: what supports them is never uploaded.
_ASKED = """
SELECT r.id, r.workspace, r.author, r.status,
    coalesce(max(f.released_at), r.last_submitted_at, r.created_at),
    count(f.id), coalesce(sum(f.uploaded), 0), coalesce(max(f.upload_attempts), 0),
    r.author || coalesce(',' || (SELECT group_concat(key) FROM json_each(r.submitted_reviews)), '')
        || coalesce(',' || r.turn_reviewers, '')
        || coalesce(',' || group_concat(DISTINCT f.released_by), '')
FROM local_db_requestmetadata r
LEFT JOIN local_db_filegroupmetadata g ON g.request_id = r.id
LEFT JOIN local_db_requestfilemetadata f ON f.filegroup_id = g.id AND f.filetype = 'OUTPUT'
GROUP BY r.id ORDER BY r.created_at
"""


class Request(NamedTuple):
    """`since` is when it was released, or else submitted or made, as Django writes UTC.

    Of its author, the reviewers of this turn and the last, and who released it, `strangers` are
    those whom nobody here knows.
    """

    id: str
    workspace: str
    author: str
    status: str
    since: str
    files: int
    uploaded: int
    attempts: int
    strangers: tuple[str, ...]

    def late(self, now: str) -> bool:
        """Whether it was released, and has not arrived; NOW is ten minutes ago."""
        return self.status == "APPROVED" and self.since < now

    @property
    def stuck(self) -> str:
        tried = "in spite of tries" if self.attempts else "never tried"
        return (
            f"{self.id} of {self.workspace} was released {self.since[:16]}Z, and "
            f"{self.uploaded} of {self.files} files have arrived, {tried}"
        )


def requests(known: Collection[str], path: str = AIRLOCKS) -> list[Request]:
    """All of them, the oldest first; none where there is no database yet. These people are KNOWN.

    Raises UserError where it cannot be read.
    """
    if not os.path.exists(path):
        return []
    try:
        with sqlite.opened(path) as there:
            rows = there.execute(_ASKED).fetchall()
    except sqlite3.Error as error:
        raise UserError(f"{path} cannot be read: {error}", _MENDS) from None
    return [Request._make((*r[:-1], _strangers(r[-1], known))) for r in rows]


def _strangers(names: str, known: Collection[str]) -> tuple[str, ...]:
    """Airlock has names in large and small letters."""
    others = {n for n in names.split(",") if n and n.lower() not in known}
    return tuple(sorted(others))
