"""What of a workspace Airlock is to be shown, by what its manifest says and what lies there now."""

from __future__ import annotations

import contextlib
import os
import pwd
import time
from dataclasses import dataclass, field

from backend_server.engine import history
from backend_server.host.opened import NotPlain
from backend_server.review.shelf import LARGEST, Seen, Shelf, Wanted, read
from backend_server.review.tables import points, refusal
from backend_server.text.manifest import FOLDER, MODERATE, OF_OUTPUTS, Manifest, Said
from backend_server.text.roles import OPENSAFELY_ID


SETTLED_S = 5  # an editor that empties a file before it writes has written it by then
REDACTED = "redacted"
_AGAIN = "let its action run again"


@dataclass
class Verdicts:
    """`want` is for the shelf, `told` for people."""

    here: Seen  # the workspace's folder, in which reviewers write
    made: Seen  # and in high privacy, where they do not
    shelf: Shelf
    before: dict[str, list[str]]  # of each edit that was refused, its SHA-256, and why
    refused: dict[str, list[str]] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    want: dict[str, Wanted] = field(default_factory=dict)

    def all(self, theirs: Manifest) -> None:
        """Adds what becomes of outputs, and the actions' logs where both trees have the same one."""
        for path, said in sorted(theirs.outputs.items()):
            self._output(path, said)
        for path in theirs.paths():
            folder, _, name = path.partition("/")
            if folder == FOLDER and name.endswith(".log") and not unfit(name):
                with contextlib.suppress(FileNotFoundError, NotPlain):
                    sha256 = self.here.sha256(path)
                    self.want[path] = Wanted(sha256, None, self.made.top, path)

    def _output(self, path: str, said: Said) -> None:
        moderate = said.get("level") == MODERATE and said.get("content_hash")
        if not moderate or said.get("excluded") or said.get("out_of_date_output"):
            return
        try:
            if unfit(path):
                raise NotPlain(unfit(path))
            self._reach(path, {key: said.get(key) for key in OF_OUTPUTS})
        except FileNotFoundError:
            self.told[path] = "is gone from the workspace, or from high privacy"
        except NotPlain as error:
            self.told[path] = str(error)
        except OSError as error:
            self.told[path] = f"cannot be read: {error.strerror}"

    def _reach(self, path: str, said: Said) -> None:
        """What is shown of it now stays, unless a rule says otherwise."""
        sha256, former = said["content_hash"], self._former(path, said)
        self.want[path] = Wanted(sha256, said)
        now = self.here.sha256(path)
        there, edited = self.shelf.holds(path) == sha256, now != sha256
        if edited and not there:
            # High privacy holds what nobody at level 4 may see, and the manifest proves nothing.
            raise NotPlain(f"was edited before it was shown, and is not: {_AGAIN}")
        if not there:
            # From where reviewers do not write: what is no job's has nothing to be copied.
            self.want[path] = Wanted(sha256, said, self.made.top, path)
        elif former and not edited:
            self._same_bytes(path, former, said)
        elif former and now == former["content_hash"]:
            former.update((key, said[key]) for key in ("job_id", "out_of_date_action"))
        # What is in both trees is a job's, whose manifest is yet to come.
        elif edited and now != self.made.sha256(path):
            self._edited(path, said, now)

    def _former(self, path: str, said: Said) -> Said | None:
        """The redaction that stands beside it, and stays for now, where it is one of these bytes."""
        found = self.shelf.entries.get(beside(path))
        if found and found["redacted_from_hash"] != said["content_hash"]:
            self.told[beside(path)] = "is out of date: the job has made other bytes"
            return None
        if found:
            edit = self.here.top, path
            self.want[beside(path)] = Wanted(found["content_hash"], found, *edit)
        return found

    def _same_bytes(self, path: str, former: Said, said: Said) -> None:
        """The edit was taken back, unless a job that ran again has overwritten it."""
        file = self._stat(path)
        again = f"{file.st_ino} {file.st_mtime_ns}"
        if former["job_id"] != said["job_id"]:
            former.update(job_id=said["job_id"], made_again=again)
        elif former.get("made_again") != again and _settled(file):
            del self.want[beside(path)]

    def _stat(self, path: str) -> os.stat_result:
        return os.stat(path, dir_fd=self.here.top, follow_symlinks=False)

    def _edited(self, path: str, said: Said, now: str) -> None:
        file, refused = self._stat(path), f"is larger than {LARGEST >> 20} MiB"
        if not _settled(file):
            self.told[path] = f"is being edited, and waits for {SETTLED_S} s of rest"
            return
        data, (judged, why) = b"", self.before.get(path, ("", ""))
        if now and judged == now:
            refused = why
        elif now:
            self.here.in_time()
            data = read(self.here.top, path, now)
            refused = refusal(path, data)
        self.want.pop(beside(path), None)
        if refused:
            self.refused[path] = [now, refused]
            raise NotPlain(f"was edited, and the edit {refused}")
        made = read(self.shelf.top, path, said["content_hash"])
        entry = {
            **{**said, "size": file.st_size, "timestamp": file.st_mtime},
            **{"content_hash": now, "row_count": None, "col_count": None},
            **{"redacted_from": path, "redacted_from_hash": said["content_hash"]},
            **{"file_of": _owner(file), "redacted_at": history.now()},
            "points": "\n".join(points(path, data, made)),
        }
        self.want[beside(path)] = Wanted(now, entry, self.here.top, path)
        self.told.pop(beside(path), None)


def _settled(file: os.stat_result) -> bool:
    """By the time that nobody can set: it is never older than the change itself."""
    return not 0 <= time.time() - file.st_ctime < SETTLED_S


def _owner(file: os.stat_result) -> str | None:
    """Who made this file, and maybe not who edited it last: an editor that saves in place leaves that."""
    with contextlib.suppress(KeyError):
        if file.st_uid != OPENSAFELY_ID:
            return pwd.getpwuid(file.st_uid).pw_name
    return None


def beside(path: str) -> str:
    """Where the redaction of an output stands."""
    return f"{REDACTED}/{path}"


def unfit(path: str) -> str:
    """Why Airlock, or where it releases to, has no place for this name; empty where it has."""
    parts = path.split("/")
    if parts[0] in (REDACTED, FOLDER):
        return f"is below {parts[0]}/, where Airlock has what is no output"
    if any(part[:1] in ("", ".") for part in parts):
        return "has a name that begins with a dot, or is no path"
    if any(not c.isprintable() or c in '"\\' or c > "\xff" for c in path):
        return "has a name with characters that cannot be released"
    return ""
