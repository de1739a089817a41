"""A workspace as Airlock is shown it: whatever our manifest names lies there, byte for byte.

Airlock reads the manifest, then opens a file and compares its hash. So a name goes into the manifest
once its bytes are on disk, and out of it, some time before its bytes change or go.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import time
from typing import Any, Dict, Iterator, List, NamedTuple

from backend_server.host import opened
from backend_server.host.files import NEW, write_all
from backend_server.host.folder import descriptor
from backend_server.host.opened import NotPlain
from backend_server.outputs.outgoing import manifest_of
from backend_server.outputs.within import Within, at
from backend_server.review.tables import has_patients
from backend_server.text import manifest
from backend_server.text.manifest import FOLDER, MANIFEST, Said


LARGEST = 16 << 20  # bytes: where releases go, nothing larger is taken
LOOK_S = 20  # so long a pass reads what reviewers changed in a workspace; then come the others
GRACE_S = 2  # the slowest page that has read a manifest has opened its files by then
NOTES = f"{FOLDER}/redactions.txt"  # in Airlock beside the logs

Entries = Dict[str, Said]
Known = Dict[str, List[Any]]  # inode, size, both times, and the SHA-256, by path


class Wanted(NamedTuple):
    """These bytes are to lie at a path; where they do not yet, they are copied, if it says whence."""

    sha256: str
    said: Said | None  # of what is declared; None for a log
    folder: int | None = None
    source: str = ""  # below that folder


class Later(NotPlain):
    """Another pass goes on: one workspace, in which much changes, holds up no other."""

    def __init__(self) -> None:
        super().__init__("waits for the next pass: much has changed here")


class Seen:
    """What files below a folder hold: each is read once, and anew when it has changed.

    Raises Later for what would have to be read after the END, a time.monotonic().
    """

    def __init__(self, top: int, before: Known, end: float = math.inf) -> None:
        self.top, self.before, self.end = top, before, end
        self.found: Known = {}

    def sha256(self, path: str) -> str:
        """Empty for what is larger than can be released."""
        # By a name: what stays the same by this is what was read, and nothing else is asked.
        sign = opened.sign(os.stat(path, dir_fd=self.top, follow_symlinks=False))
        known = self.before.get(path, [])
        if known[:-1] != [*sign]:
            self.in_time()
            output = opened.opened(self.top, path)
            with open(output.fd, "rb"):
                sha256 = opened.digest(output.fd, min(output.size, LARGEST))
            known = [*output.sign, sha256]
        self.found[path] = known
        return str(known[-1])

    def in_time(self) -> None:
        if time.monotonic() > self.end:
            raise Later


class Shelf(Seen):
    """One workspace of the review tree: what lies there, and what the last pass declared of it."""

    def __init__(self, top: int, workspace: str, before: Known) -> None:
        super().__init__(top, before)
        self.workspace, self.entries = workspace, entries(top)
        for folder, _, names, _ in os.fwalk(".", dir_fd=top):
            for name in names:
                self.sha256(f"{folder}/{name}"[2:])

    def holds(self, path: str) -> str:
        """The SHA-256 of what lies at PATH; empty where nothing does."""
        return str(self.found.get(path, [""])[-1])

    def hold(self, want: dict[str, Wanted], told: dict[str, str]) -> Entries:
        """It holds what is wanted and nothing else; what is declared by now, as far as that came.

        Whenever this ends, what is declared is there; the next pass brings the rest.
        """
        # However long it took to see what is wanted, some of it is brought.
        end = time.monotonic() + LOOK_S
        stay = {p for p, wanted in want.items() if wanted.sha256 == self.holds(p)}
        stale = self.found.keys() - stay - {MANIFEST, NOTES}
        if stale:
            self._declare(want)
            time.sleep(GRACE_S)
        self._remove(stale)
        for path, (sha256, _, folder, source) in want.items():
            try:
                if folder is not None and path not in stay:
                    self._bring(path, folder, source, sha256, end)
            except Later as error:
                told[source] = str(error)
            # Of a redaction this is its output's path, too. Nothing is said of high privacy.
            except (NotPlain, FileNotFoundError, BlockingIOError):
                told[source] = "is not shown: no job made it, or its edit goes on"
            except OSError as error:
                told[source] = f"is not shown: {error.strerror}"
        return self._declare(want)

    def _bring(
        self, path: str, folder: int, source: str, sha256: str, end: float
    ) -> None:
        if time.monotonic() > end:
            raise Later
        data = read(folder, source, sha256)
        if has_patients(path, data):  # the agent holds that back: it did not say this
            raise NotPlain("it is a table by patient")
        self.write(path, data)

    def _declare(self, want: dict[str, Wanted]) -> Entries:
        """What is wanted and there has its name in the manifest, and nothing else has."""
        there = {p: each for p, each in want.items() if self.holds(p) == each.sha256}
        outputs = {p: each.said for p, each in there.items() if each.said}
        said = {"workspace": self.workspace, "repo": None, "outputs": outputs}
        data = json.dumps(said).encode()
        if len(data) > manifest.LARGEST:
            raise manifest.Wrong(
                "has a manifest that is too large, with what was edited"
            )
        self.write(MANIFEST, data)
        return outputs

    def write(self, path: str, data: bytes) -> None:
        """PATH holds these bytes; what holds them already is left alone."""
        sha256 = hashlib.sha256(data).hexdigest()
        if self.holds(path) != sha256:
            sign = put(self.top, path, data, 0o440)
            self.found[path] = [*sign, sha256]

    def _remove(self, paths: set[str]) -> None:
        for path in paths:
            os.unlink(path, dir_fd=self.top)
            del self.found[path]
        for each, *_ in os.fwalk(".", topdown=False, dir_fd=self.top):
            with contextlib.suppress(OSError):  # it is not empty
                os.rmdir(each, dir_fd=self.top)


def entries(top: int) -> Entries:
    """What is declared in the workspace's folder; nothing where that cannot be read."""
    with contextlib.suppress(FileNotFoundError, manifest.Wrong):
        return manifest_of(opened.opened(top, MANIFEST)).outputs
    return {}


def read(folder: int, path: str, sha256: str) -> bytes:
    """These bytes, of a plain file. Raises NotPlain where they are others."""
    with open(opened.opened(folder, path).fd, "rb") as file:
        data = file.read(LARGEST)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise NotPlain("it is not what it is to be")
    return data


@contextlib.contextmanager
def written(top: int, data: bytes, mode: int) -> Iterator[tuple[str, int]]:
    """A name below TOP, and the descriptor, of a file that holds these bytes, on disk.

    Whoever wants it to stay gives it another name meanwhile.
    """
    # Not in metadata/: Airlock lists whatever lies there.
    part = f".{os.urandom(8).hex()}.part"
    try:
        with descriptor(part, NEW, top) as fd:
            write_all(fd, data)
            os.fchmod(fd, mode)
            os.fsync(fd)
            yield part, fd
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part, dir_fd=top)


def put(top: int, path: str, data: bytes, mode: int) -> opened.Sign:
    """The file at PATH below TOP holds these bytes, on disk, or what it held before."""
    within = Within(os.fstat(top).st_dev, top, top)
    with written(top, data, mode) as (part, fd):
        with at(within, path, make=True) as (folder, name):
            os.rename(part, name, src_dir_fd=top, dst_dir_fd=folder)
        return opened.sign(os.fstat(fd))
