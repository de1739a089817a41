"""What of a workspace Airlock is to be shown, by what its manifest says and what lies there now."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import time
from dataclasses import dataclass, field
from typing import NamedTuple

from backend_server.engine import history
from backend_server.host import opened
from backend_server.host.opened import NotPlain
from backend_server.review.gates import judged
from backend_server.review.shelf import LARGEST, Entries, Shelf, Source
from backend_server.text.manifest import FOLDER, MODERATE, Said
from backend_server.text.roles import OPENSAFELY_ID


SETTLED_S = 5  # an editor that empties a file before it writes has written it by then
REDACTED = "redacted"
# What Airlock asks for, and may be asked for by people.
_KEYS = (
    *("level", "excluded", "size", "timestamp", "content_hash", "message", "user"),
    *("commit", "repo", "job_id", "job_request", "action", "row_count", "col_count"),
    "out_of_date_action",
)


class Seen(NamedTuple):
    """A file of the workspace as it was judged. While all of it stays, it is not read again."""

    sign: tuple[int, ...]
    sha256: str  # of the output, as the manifest had it
    job: str | None  # that made it
    redacted: bool
    why: str = ""  # an edit was not taken


class _Later(Exception):
    """It is being written: all stays as it was."""


class _TooLarge(NotPlain):
    pass


@dataclass
class Verdicts:
    """`want` and `sources` are for the shelf, `seen` for the next pass, `told` for people."""

    here: int  # the workspace's folder, in which reviewers write
    made: int  # and in high privacy, where they do not
    shelf: Shelf
    before: dict[str, Seen]
    trusted: bool  # nobody but the service can have written the manifest
    want: Entries = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    seen: dict[str, Seen] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)

    def of(self, path: str, said: Said) -> None:
        """Adds what becomes of an output."""
        if said.get("level") != MODERATE or said.get("excluded"):
            return
        if said.get("out_of_date_output"):
            return
        why = unfit(path)
        if not isinstance(said.get("content_hash"), str):
            why = why or "has no content_hash in the manifest"
        if why:
            self.told[path] = why
            return
        _Verdict(self, path, said).reach()


@dataclass
class _Verdict:
    of: Verdicts
    path: str
    said: Said

    def reach(self) -> None:
        of, sha256 = self.of, self.said["content_hash"]
        self.redaction = f"{REDACTED}/{self.path}"
        self.there = of.shelf.has(self.path, sha256)
        self.former = self._former()
        if self.there:
            of.want[self.path] = self._entry()
        was = of.before.get(self.path)
        try:
            sign = self._sign()
            fits = self.there and was and was.redacted == bool(self.former)
            if (
                was
                and fits
                and (was.sign, was.sha256, was.job)
                == (*(sign, sha256, self.said.get("job_id")),)
            ):
                seen = was
                if self.former:
                    self._keep()
            else:
                seen = self._judge(was, sign)
            of.seen[self.path] = seen
            if seen.why:
                of.told[self.path] = f"was edited, and the edit {seen.why}"
        except _Later:
            self._keep()
        except FileNotFoundError:
            self._keep("is gone from the workspace")
        except NotPlain as error:
            self._keep(str(error))
        except OSError as error:
            self._keep(f"cannot be read: {error.strerror}")

    def _former(self) -> Said | None:
        """The redaction that stands beside it, where it is one of these bytes."""
        found = self.of.shelf.entries.get(self.redaction, {})
        if not self.of.shelf.has(self.redaction, found.get("content_hash", 0)):
            return None
        if found.get("redacted_from_hash") == self.said["content_hash"]:
            return found
        self.of.told[self.redaction] = (
            "is out of date: the job has made other bytes, and they are to be edited anew"
        )
        return None

    def _entry(self) -> Said:
        return {key: self.said.get(key) for key in _KEYS}

    def _keep(self, why: str = "") -> None:
        """What is there of it stays, for now."""
        if why:
            self.of.told[self.path] = why
        if self.there and self.former:
            late = self.said.get("out_of_date_action")
            self.of.want[self.redaction] = {**self.former, "out_of_date_action": late}

    def _sign(self) -> tuple[int, ...]:
        """By a name: what stays the same by this is what was read, and nothing else is asked."""
        try:
            found = os.stat(self.path, dir_fd=self.of.here, follow_symlinks=False)
        except NotADirectoryError:
            raise NotPlain("is reached through a link or a file") from None
        return opened.sign(found)

    def _judge(self, was: Seen | None, sign: tuple[int, ...]) -> Seen:
        sha256, job = self.said["content_hash"], self.said.get("job_id")
        seen = Seen(sign, sha256, job, False)
        try:
            data, found = _read(self.of.here, self.path)
        except _TooLarge as error:
            return seen._replace(why=str(error))
        seen = seen._replace(sign=opened.sign(found))
        now, settled = hashlib.sha256(data).hexdigest(), _settled(found)
        if now == sha256:
            return self._untouched(was, seen, settled)
        made = self._made()
        if now == hashlib.sha256(made).hexdigest():
            raise _Later  # a job ran again, and its manifest is yet to come
        if not self.there and not self._show_unseen():
            raise NotPlain(
                "was edited before it was shown, and is not: let its action run again"
            )
        if not settled:
            raise _Later
        return self._edited(data, made, found, seen)

    def _untouched(self, was: Seen | None, seen: Seen, settled: bool) -> Seen:
        if not self.there:
            self._show()
        elif self.former:
            # A job that ran again has overwritten the edit; its original is the same.
            if seen.job != (was.job if was else self.former.get("job_id")):
                self._keep()
                return seen._replace(redacted=True)
            if not settled:  # as between a job's file and its manifest
                raise _Later
        return seen

    def _made(self) -> bytes:
        try:
            return _read(self.of.made, self.path)[0]
        except FileNotFoundError:
            raise NotPlain("is in no workspace under high privacy") from None

    def _show(self) -> None:
        self.of.want[self.path] = self._entry()
        # From where reviewers do not write: what is no job's has nothing to be copied.
        self.of.sources[self.path] = (self.of.made, self.path)

    def _show_unseen(self) -> bool:
        """High privacy holds what nobody at level 4 may see: only a manifest that none of them
        can have written says that this is not of that kind."""
        if self.of.trusted:
            self._show()
        return self.of.trusted

    def _edited(
        self, data: bytes, made: bytes, found: os.stat_result, seen: Seen
    ) -> Seen:
        verdict = judged(self.path, made, data)
        if verdict.refused:
            return seen._replace(why=verdict.refused)
        sha256 = hashlib.sha256(data).hexdigest()
        if self.former and self.former["content_hash"] == sha256:
            self._keep()
        else:
            self.of.want[self.redaction] = {
                **self._entry(),
                **{"size": len(data), "timestamp": found.st_mtime},
                **{"content_hash": sha256, "redacted_from": self.path},
                **{"row_count": verdict.rows, "col_count": verdict.columns},
                "redacted_from_hash": self.said["content_hash"],
                "redacted_by": _saved_by(found),
                "redacted_at": history.now(),
                "note": "; ".join(verdict.notes),
            }
            self.of.sources[self.redaction] = (self.of.here, self.path)
        return seen._replace(redacted=True)


def unfit(path: str) -> str:
    """Why Airlock, or where it releases to, has no place for this name; empty where it has."""
    parts = path.split("/")
    if parts[0] in (REDACTED, FOLDER):
        return f"is below {parts[0]}/, where Airlock has what is no output"
    if not {"", ".", ".."}.isdisjoint(parts) or any(p[:1] == "." for p in parts):
        return "has a name that begins with a dot, or is no path"
    try:
        path.encode("latin-1")
    except UnicodeEncodeError:
        return "has a name with characters that cannot be released"
    if not path.isprintable() or '"' in path or "\\" in path:
        return "has a name with characters that cannot be released"
    return ""


def _read(top: int, path: str) -> tuple[bytes, os.stat_result]:
    """All of a plain file that nobody writes meanwhile."""
    output = opened.opened(top, path)
    with open(output.fd, "rb") as file:
        if output.size > LARGEST:
            raise _TooLarge(f"is larger than {LARGEST >> 20} MiB")
        data = file.read(output.size + 1)
        found = os.fstat(output.fd)
    if len(data) != output.size or opened.sign(found) != output.sign:
        raise _Later
    return data, found


def _settled(found: os.stat_result) -> bool:
    """By the time that nobody can set: it is never older than the change itself."""
    return not 0 <= time.time() - found.st_ctime < SETTLED_S


def _saved_by(found: os.stat_result) -> str | None:
    """None where it cannot be known: an editor that saves in place leaves the owner there was."""
    with contextlib.suppress(KeyError):
        if found.st_uid != OPENSAFELY_ID:
            return pwd.getpwuid(found.st_uid).pw_name
    return None
