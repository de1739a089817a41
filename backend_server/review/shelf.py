"""A workspace as Airlock is shown it: whatever our manifest names lies there, byte for byte.

Airlock reads the manifest, then opens a file and compares its hash. So a name goes into the manifest
once its bytes are on disk, and out of it, some time before its bytes change or go.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import time
from typing import Collection, Dict, Iterator, NamedTuple, Tuple

from backend_server.host import opened
from backend_server.host.files import NEW, write_all
from backend_server.host.folder import descriptor
from backend_server.host.opened import NotPlain, Output
from backend_server.outputs.within import LIBC, Within, at
from backend_server.text import manifest
from backend_server.text.manifest import MANIFEST, Said


LARGEST = 16 << 20  # bytes: where releases go, nothing larger is taken
GRACE_S = 2  # the slowest page that has read a manifest has opened its files by then
_PART = ".part"  # not in metadata/: Airlock lists whatever lies there

Source = Tuple[int, str]  # a folder, and the path in it of what is copied
Entries = Dict[str, Said]


class Shelf(NamedTuple):
    """One workspace of the review tree, as the last pass left it."""

    within: Within
    workspace: str
    entries: Entries
    sizes: dict[str, int]  # of all that lies there, by path

    @property
    def fd(self) -> int:
        return self.within.top

    def has(self, path: str, sha256: object) -> bool:
        """Whether PATH is declared and lies there with these bytes."""
        said = self.entries.get(path, {})
        there = (said.get("content_hash"), said.get("size"))
        return there == (sha256, self.sizes.get(path))

    def hold(
        self, want: Entries, sources: dict[str, Source], others: Collection[str]
    ) -> dict[str, str]:
        """It holds what is wanted, OTHERS besides, and nothing else: why, of what could not be brought.

        Whenever this ends, what is declared is there; the next pass brings the rest.
        """
        kept = {*want, *others, MANIFEST}
        stay = {p: e for p, e in self.entries.items() if p in want and p not in sources}
        gone = [path for path in self.sizes if path not in kept]
        if gone or not self.sizes.keys().isdisjoint(sources):
            if stay != self.entries:
                self._declare(stay)
            time.sleep(GRACE_S)
            self._remove(gone)
        failed = dict(self._bring(want, sources))
        alone = (p for p, said in want.items() if said.get("redacted_from") in failed)
        failed.update((path, "has no original beside it") for path in [*alone])
        want = {path: said for path, said in want.items() if path not in failed}
        if sources and LIBC.syncfs(self.fd):
            raise OSError(ctypes.get_errno(), "what was copied is not on disk")
        if want != self.entries or stay != self.entries or MANIFEST not in self.sizes:
            self._declare(want)
        return failed

    def _bring(
        self, want: Entries, sources: dict[str, Source]
    ) -> Iterator[tuple[str, str]]:
        for path, (folder, theirs) in sources.items():
            try:
                self.put(path, opened.opened(folder, theirs), want[path])
            except NotPlain as error:
                yield path, str(error)
            except OSError as error:  # a disk that is full, for one
                yield path, f"could not be copied: {error.strerror}"

    def put(self, path: str, source: Output, said: Said) -> None:
        """Raises NotPlain where these are not the bytes that are declared, if any are."""
        found = hashlib.sha256()
        try:
            with self._part() as fd:
                for start in range(0, min(source.size, LARGEST + 1), opened.AT_ONCE):
                    data = os.pread(source.fd, opened.AT_ONCE, start)
                    found.update(data)
                    write_all(fd, data)
        finally:
            os.close(source.fd)
        if said.get("content_hash", found.hexdigest()) != found.hexdigest():
            raise NotPlain("is not what it is declared to be")
        self._name(path)

    def write(self, path: str, text: str) -> None:
        with self._part() as fd:
            write_all(fd, text.encode("utf-8", "backslashreplace"))
            os.fsync(fd)
        self._name(path)

    def _declare(self, entries: Entries) -> None:
        said = {"workspace": self.workspace, "repo": None, "outputs": entries}
        self.write(MANIFEST, json.dumps(said) + "\n")

    @contextlib.contextmanager
    def _part(self) -> Iterator[int]:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_PART, dir_fd=self.fd)
        with descriptor(_PART, NEW, self.fd) as fd:
            yield fd
            os.fchmod(fd, 0o440)

    def _name(self, path: str) -> None:
        with at(self.within, path, make=True) as (folder, name):
            os.rename(_PART, name, src_dir_fd=self.fd, dst_dir_fd=folder)

    def _remove(self, paths: list[str]) -> None:
        for path in paths:
            missing = contextlib.suppress(FileNotFoundError)  # what was half there
            with missing, at(self.within, path) as (folder, name):
                os.unlink(name, dir_fd=folder)
        for each, *_ in os.fwalk(".", topdown=False, dir_fd=self.fd):
            with contextlib.suppress(OSError):  # it is not empty
                os.rmdir(each, dir_fd=self.fd)


@contextlib.contextmanager
def shelf(review: int, workspace: str) -> Iterator[Shelf]:
    """The workspace's folder in REVIEW, which is there then."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(workspace, 0o750, dir_fd=review)
    with contextlib.ExitStack() as stack:
        fd = opened.step(stack, review, workspace)
        within = Within(os.fstat(fd).st_dev, fd, fd)
        yield Shelf(within, workspace, read_entries(fd), dict(_files(fd)))


def read_entries(top: int) -> Entries:
    """What is declared in the workspace's folder; nothing where that cannot be read."""
    try:
        with open(opened.opened(top, MANIFEST).fd, "rb") as file:
            return manifest.read(file.read(manifest.LARGEST + 1)).outputs
    except (FileNotFoundError, manifest.Wrong):
        return {}


def _files(top: int) -> Iterator[tuple[str, int]]:
    for folder, _, names, fd in os.fwalk(".", dir_fd=top):
        for name in names:
            size = os.stat(name, dir_fd=fd, follow_symlinks=False).st_size
            yield f"{folder}/{name}"[2:], size
