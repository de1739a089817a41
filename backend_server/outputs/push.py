"""Level 4 outputs go to the share: one way, each whole or not at all."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import partial
from typing import Callable, Dict, Iterator, Mapping, Sequence

from backend_server.checkout.backend import Share
from backend_server.engine import history
from backend_server.engine.lock import only_run
from backend_server.host.writer import Host
from backend_server.outputs import (
    credentials,
    opened,
    outgoing,
    patience,
    pushed,
    windows,
)
from backend_server.outputs import share as on_share
from backend_server.outputs.opened import NotPlain, Output
from backend_server.outputs.outgoing import Outgoing
from backend_server.outputs.patience import Emit
from backend_server.outputs.pushed import Put, Record
from backend_server.outputs.share import Parcel, Place, Verdict
from backend_server.storage.component import WORKSPACES
from backend_server.text.errors import OutsideWorld
from backend_server.text.roles import MEDIUM


LOCK = "/run/opensafely/push.lock"
# Longer than a mount takes to fail, so that it can say why.
_SILENCE_S = 45
# So much at once: fewer files than a process may have open, and little to do once more.
_FILES, _BYTES = 400, 64 << 20

# What mount.cifs says, and what that means here.
_MOUNT_ERROR = re.compile(r"mount error\(([0-9]+)\)")
_SILENT = "it does not answer"
_MEANS = {
    **dict.fromkeys((2, 6), "it has no such share"),
    13: "it turned the account or its password away",
    **dict.fromkeys((110, 111, 112, 113, 115), _SILENT),
}

Batch = Dict[str, Output]  # open, by path
Work = Callable[[Place, Sequence[Parcel], Emit], None]


def push(
    host: Host, share: Share, say: Callable[[str], None], place: Place | None = None
) -> Record:
    """All that can be on the share is there; the record, which is kept, says what is not.

    Says each file that went, and what is wrong with one once, and not every minute.
    """
    place = place or Place(share.mount_point, share.folder)
    with only_run("outputs push", str(host.root) + LOCK, wait=True):
        record = pushed.read(host)
        known, record.failed, record.waiting, record.why = record.failed, {}, {}, ""
        with opened.tree(str(host.root) + WORKSPACES[MEDIUM]) as top:
            found = outgoing.listed(top, record.put)
            work = _Push(host, share, say, place, record, known, found, top)
            work.all()
        record.ended = history.now()
        if not record.waiting and not record.why:
            record.succeeded = record.ended
        pushed.write(host, record)
    return record


@dataclass
class _Push:
    """One pass. Of files it says their path below the workspaces' folder, and nothing else."""

    host: Host
    share: Share
    say: Callable[[str], None]
    place: Place
    record: Record
    known: Mapping[str, str]  # why files failed the last time
    found: Outgoing
    top: int  # the workspaces' folder

    def all(self) -> None:
        for path, why in self.found.refused.items():
            self._fails(path, why)
        self.record.waiting = dict(self._waiting())
        gone = self._gone() if self.share.removes else {}
        if not self.record.waiting and not gone:
            return
        try:
            self._refuse_without_password()
            self._sweep()
            for batch in self._batches():
                self._settle(batch)
            self._remove(gone)
        except OutsideWorld as error:
            self.record.why = self._explained(str(error))
            if not isinstance(error, patience.Silent):
                self._unmount()

    # ---- what is to be done

    def _waiting(self) -> Iterator[tuple[str, int]]:
        """Paths and sizes of those that are not on the share as they are here."""
        for path in self.found.names:
            output = self._open(path)
            if output:
                os.close(output.fd)
                before = self.record.put.get(path)
                if before is None or not before.sha256 or before.sign != output.sign:
                    yield path, output.size

    def _open(self, path: str) -> Output | None:
        """None where it is gone by now, or is nothing that may be pushed."""
        try:
            return opened.opened(self.top, path)
        except FileNotFoundError:
            return None
        except NotPlain as error:
            self._fails(path, str(error))
        except OSError as error:
            self._fails(path, f"cannot be read: {error.strerror}")
        return None

    def _gone(self) -> dict[str, str]:
        """What this host put there, and its workspace declares no longer; paths there by ours.

        Not where another name of the same file there is declared now.
        """
        names = set(map(windows.folded, self.found.names.values()))
        return {
            path: put.path
            for path, put in self.record.put.items()
            if put.sha256
            and windows.folded(put.path) not in names
            and path.partition("/")[0] in self.found.workspaces
        }

    def _batches(self) -> Iterator[Batch]:
        """All that waits, opened; what is the same as before but for its times is done already."""
        batch: Batch = {}
        size = 0
        for path in list(self.record.waiting):
            output = self._open(path)
            if output is None:
                del self.record.waiting[path]
                continue
            batch[path] = output
            size += output.size
            if len(batch) >= _FILES or size >= _BYTES:
                yield batch
                batch, size = {}, 0
        if batch:
            yield batch

    # ---- on the share

    def _settle(self, batch: Batch) -> None:
        """All of a batch is there, or said why not. Where nothing arrived, the share is unwell."""
        try:
            parcels = dict(self._parcels(batch))
            new = [each for path, each in parcels.items() if not self._known(path)]
            for path, verdict in self._told(on_share.look, new, parcels):
                self._judge(path, verdict, parcels.pop(path), batch)
                self.record.waiting.pop(path, None)  # what is somebody else's stays so
            self._begin(parcels, batch)
            whys = []
            for path, verdict in self._told(on_share.put, [*parcels.values()], parcels):
                self._judge(path, verdict, parcels[path], batch)
                whys.append(verdict.why)
            if whys and all(whys):
                raise OutsideWorld(f"nothing arrived: {whys[0]}")
        finally:
            for output in batch.values():
                os.close(output.fd)
            pushed.write_files(self.host, self.record)

    def _parcels(self, batch: Batch) -> Iterator[tuple[str, Parcel]]:
        ours = {windows.folded(put.path) for put in self.record.put.values()}
        for path, output in batch.items():
            sha256, before = opened.digest(output.fd), self.record.put.get(path)
            if before and before.sha256 == sha256:  # only touched
                self._arrived(path, before._replace(sign=output.sign))
                continue
            name = self.found.names[path]
            known = windows.folded(name) in ours
            yield path, Parcel(output.fd, name, sha256, ours=known)

    def _known(self, path: str) -> bool:
        """Whether all of it was seen on the share, as it then was here."""
        before = self.record.put.get(path)
        return before is not None and before.sha256 != ""

    def _begin(self, parcels: Mapping[str, Parcel], batch: Batch) -> None:
        """From now on what is there under these names counts as ours, however this ends."""
        for path, parcel in parcels.items():
            self.record.put[path] = Put(parcel.path, "", batch[path].size, ())
        pushed.write_files(self.host, self.record)

    def _told(
        self, work: Work, some: Sequence[Parcel], parcels: Mapping[str, Parcel]
    ) -> Iterator[tuple[str, Verdict]]:
        if not some:
            return
        paths = {parcel.path: path for path, parcel in parcels.items()}
        act = partial(work, self.place, some)
        for result in patience.results(act, _SILENCE_S):
            verdict = Verdict(*result)
            yield paths[verdict.path], verdict

    def _judge(self, path: str, verdict: Verdict, parcel: Parcel, batch: Batch) -> None:
        if verdict.why:
            self._fails(path, verdict.why)
            return
        put = Put(parcel.path, parcel.sha256, batch[path].size, batch[path].sign)
        self._arrived(path, put)
        self.say(f"pushed: {path!a}")

    def _sweep(self) -> None:
        names = {put.path.rpartition("/")[2] for put in self.record.put.values()}
        act = partial(on_share.sweep, self.place, names)
        for _ in patience.results(act, _SILENCE_S):
            pass

    def _remove(self, gone: Mapping[str, str]) -> None:
        ours = {theirs: path for path, theirs in gone.items()}
        digests = {t: self.record.put[path].sha256 for t, path in ours.items()}
        act = partial(on_share.remove, self.place, digests)
        for result in patience.results(act, _SILENCE_S) if gone else ():
            verdict = Verdict(*result)
            path = ours[verdict.path]
            if verdict.why:
                self._fails(path, verdict.why)
                continue
            del self.record.put[path]
            pushed.write_files(self.host, self.record)
            self.say(f"taken away, as it is declared no longer: {path!a}")

    # ---- what came of it

    def _arrived(self, path: str, put: Put) -> None:
        self.record.put[path] = put
        self.record.waiting.pop(path, None)
        self.record.failed.pop(path, None)

    def _fails(self, path: str, why: str) -> None:
        self.record.failed[path] = why
        if self.known.get(path) != why:
            self.say(f"not pushed: {path!a} {why}")

    def _refuse_without_password(self) -> None:
        if not credentials.is_set(self.host.read(credentials.FILE)):
            raise OutsideWorld(
                f"{self.share.account} has no password here; "
                f"sudo backend service secrets set {credentials.SECRET}"
            )

    def _explained(self, why: str) -> str:
        """Where the share could not be mounted, only mount.cifs knows why, if it had the time.

        What it said another time, of a password that was wrong then, is no reason now.
        """
        unit = self.host.unit(self.share.mount)
        mounted = unit.get("ActiveState", "active") == "active"
        if mounted or on_share.UNREACHED not in why:
            return why
        means = _SILENT if unit.get("Result") == "timeout" else ""
        for line in self.host.said(unit.get("InvocationID", "")):
            found = _MOUNT_ERROR.search(line)
            means = _MEANS.get(int(found[1]), line) if found else means
        return f"{self.share.source} was not mounted: {means}" if means else why

    def _unmount(self) -> None:
        """The next push mounts the share anew: a connection may stay broken for good."""
        if self.host.unit(self.share.mount).get("ActiveState") == "active":
            self.host.run("systemctl", "stop", "--no-block", self.share.mount)
