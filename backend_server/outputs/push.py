"""Level 4 outputs go to the share: one way, each whole or not at all."""

from __future__ import annotations

import contextlib
import math
import os
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Callable, Container, Counter, Dict, Iterator, Mapping, Sequence

from backend_server.checkout.backend import Share
from backend_server.engine import OutsideWorld, history, lock
from backend_server.host import Host, opened
from backend_server.host.opened import Output
from backend_server.outputs import connection, outgoing, patience, pushed, windows
from backend_server.outputs import share as on_share
from backend_server.outputs.outgoing import Outgoing, to_go, tried
from backend_server.outputs.pushed import Put, Record
from backend_server.outputs.share import Act, Content, Parcel, Verdict
from backend_server.outputs.turns import BIG, batches, workspace
from backend_server.outputs.within import INCOMING, Place
from backend_server.storage.component import WORKSPACES
from backend_server.text.manifest import MANIFEST
from backend_server.text.roles import MEDIUM


LOCK = "/run/opensafely/push.lock"
# Longer than a mount takes to fail, so that it can say why.
_SILENCE_S = 45
# So often what comes meanwhile goes, if it is small.
_TURN_S = 50
# Errors in a row, after which a workspace waits for the next push; and workspaces with any
# in a row, after which the share is unwell, and not they.
_IN_A_ROW = 3
_DAY_S = 24 * 3600
_READ = outgoing.LARGEST  # bytes on the share that are read again in a day

Parcels = Dict[str, Parcel]  # by path


def push(
    host: Host, share: Share, say: Callable[[str], None], place: Place | None = None
) -> Record:
    """All that can be on the share is there; the record, which is kept, says what is not.

    Says each file that went, and at the end what is wrong with one once, and not every minute.
    """
    place = place or Place(share.mount_point, share.folder)
    with lock.only_run("outputs push", str(host.root) + LOCK, wait=True):
        record = pushed.read(host)
        known, late = record.failed, record.waiting
        record.failed, record.waiting, record.why = {}, {}, ""
        with opened.tree(str(host.root) + WORKSPACES[MEDIUM]) as top:
            try:
                _Push(host, share, say, place, record, known, late, top).all()
            except MemoryError:
                record.why = "what workspaces declare is too much for this host"
        untried = record.waiting.keys() - record.failed.keys()
        kept = {p: known[p] for p in known if p in untried}
        record.failed = {**kept, **record.failed}
        record.bound()
        for path, why in record.failed.items():
            if known.get(path) != why:
                say(f"not pushed: {path!a} {why}")
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
    known: dict[str, str]  # why files failed the last time
    late: Container[str]  # what waited after that
    top: int  # the workspaces' folder
    found: Outgoing = field(init=False)
    # By workspace, since something arrived, and since something of it did.
    errors: dict[str, str] = field(default_factory=dict)
    vain: Counter[str] = field(default_factory=Counter)
    arrived: int = 0
    # When small ones are to be looked for again.
    turn: float = field(default_factory=lambda: time.monotonic() + _TURN_S)

    def all(self) -> None:
        self._list()
        looks = self._looks()
        if not self.record.waiting and not self._gone() and not looks:
            return
        try:
            connection.refuse_without_password(self.host, self.share)
            sweep = partial(on_share.sweep, self.place, self.record.incoming)
            list(patience.results(sweep, _SILENCE_S))  # to its end
            self.record.incoming = f"{INCOMING}-{os.urandom(8).hex()}"
            pushed.write_files(self.host, self.record)
            self.place = self.place._replace(incoming=self.record.incoming)
            for again in (False, True):
                self._put_waiting(dict(self.record.waiting), again)
                gone = self._gone()  # by now
                self._remove({p: gone[p] for p in gone if (p in self.known) == again})
                self._look({} if again else looks)
            if self.errors and not self.arrived:
                raise OutsideWorld(f"nothing arrived: {min(self.errors.values())}")
        except OutsideWorld as error:
            self.record.why = connection.explained(self.host, self.share, str(error))
            if not isinstance(error, patience.Silent):
                connection.end(self.host, self.share)

    def _list(self) -> None:
        record = self.record
        self.found = outgoing.listed(self.top, {**record.put, **record.coming})
        record.failed.update(self.found.refused)
        names = self.found.names
        waiting = record.waiting = dict(self._waiting())
        record.coming = {p: put for p, put in record.coming.items() if p in names}
        if not self.share.removes:
            for path in [p for p in record.put if p not in names][: -pushed.KEPT]:
                del record.put[path]
        missed = record.missed = {p: w for p, w in record.missed.items() if p in names}
        record.failed.update((p, missed[p]) for p in missed if p not in waiting)

    def _waiting(self) -> Iterator[tuple[str, int]]:
        """Paths and sizes of those that are not on the share as they are here."""
        for path in self.found.names:
            output = tried(opened.opened, self.top, path, self.record.failed)
            if output:
                os.close(output.fd)
                before = self.record.put.get(path)
                if before is None or before.sign != output.sign:
                    yield path, output.size

    def _gone(self) -> Parcels:
        """What this host put there, and its workspace declares no longer, by any name."""
        names = set(map(windows.folded, self.found.names.values()))
        puts = self.record.put if self.share.removes else {}
        return {
            path: _parcel(put)
            for path, put in puts.items()
            if windows.folded(put.path) not in names
            and f"{workspace(path)}/{MANIFEST}" in self.found.names
        }

    def _looks(self) -> Parcels:
        """What is to be looked for today, but for what is known to be unwell."""
        if (self.record.looked or self.record.began) > history.now(ago_s=_DAY_S):
            return {}
        known = self.known.keys() - self.record.missed.keys()
        paths = self.found.names.keys() - known
        looks = {p: _parcel(put) for p, put in self.record.put.items() if p in paths}
        room, after = _READ, self.record.read
        for path in sorted(looks, key=lambda path: (path <= after, path)):
            room -= looks[path].size
            if room >= 0:
                self.record.read = path
            if room >= 0 or path in self.record.missed:
                looks[path] = looks[path]._replace(mtime_ns=on_share.UNSURE)
        return looks

    def _put_waiting(self, sizes: dict[str, int], again: bool = False) -> None:
        """AGAIN: those of workspaces in which something did not work before."""
        failed = [path for path in self.known if path in self.late]
        for some in batches(sizes, failed, again):
            self._put(some)
            self._meanwhile()

    def _meanwhile(self) -> None:
        """Small ones do not wait for what takes long."""
        if time.monotonic() > self.turn:
            self.turn, known = math.inf, {*self.record.waiting}
            self._list()
            sizes = self.record.waiting.items()
            self._put_waiting({p: n for p, n in sizes if n <= BIG and p not in known})
            self.turn = time.monotonic() + _TURN_S

    # ---- on the share

    def _put(self, paths: Sequence[str]) -> None:
        """All of them, of one workspace, are there, or said why not."""
        of = workspace(paths[0])
        if self.vain[of] >= _IN_A_ROW:
            return
        with contextlib.ExitStack() as stack:
            paths = [path for path in paths if path in self.found.names]
            found = {p: tried(to_go, self.top, p, self.record.failed) for p in paths}
            batch = {path: output for path, output in found.items() if output}
            for output in batch.values():
                stack.callback(os.close, output.fd)
            for path in found.keys() - batch.keys():
                self.record.waiting.pop(path, None)
            parcels = dict(self._parcels(batch))
            puts = {p: Put(*each[:3], batch[p].sign) for p, each in parcels.items()}
            # What is found there and is one of these is ours, however this ends.
            self.record.coming.update(puts)
            pushed.write_files(self.host, self.record)
            for path, verdict in self._told(on_share.put, parcels):
                self._judge(path, verdict, puts[path])
                if max(self.vain[of], len(self.errors)) >= _IN_A_ROW:
                    break
        pushed.write_files(self.host, self.record)
        if len(self.errors) >= _IN_A_ROW:
            raise OutsideWorld(f"nothing arrives any more: {min(self.errors.values())}")

    def _parcels(self, batch: Mapping[str, Output]) -> Iterator[tuple[str, Parcel]]:
        """Of what is to be moved; what was only touched is there already."""
        ours: dict[str, list[Content]] = {}
        names = self.found.names  # before others get their turn
        for put in (*self.record.put.values(), *self.record.coming.values()):
            ours.setdefault(windows.folded(put.path), []).append(put[1:3])
        for path, output in batch.items():
            sha256 = opened.digest(output.fd, output.size, self._meanwhile)
            before = self.record.put.get(path)
            if not sha256:
                self.record.failed[path] = "is being changed here"
            elif before and before.sha256 == sha256 and path not in self.record.missed:
                self._arrived(path, before._replace(sign=output.sign))
            else:
                may_go = tuple(ours.get(windows.folded(names[path]), ()))
                found = (names[path], sha256, output.size, output.sign[2], may_go)
                yield path, Parcel(*found, output.fd)

    def _told(self, act: Act, parcels: Parcels) -> Iterator[tuple[str, Verdict]]:
        left = {parcel.path: path for path, parcel in parcels.items()}
        work = partial(on_share.each, self.place, act, [*parcels.values()])
        try:
            for result in patience.results(work, _SILENCE_S) if left else ():
                if result is None:
                    self._meanwhile()
                else:
                    verdict = Verdict(*result)
                    yield left.pop(verdict.path), verdict
        except patience.Silent as error:
            self.record.failed[next(iter(left.values()))] = f"was on its way: {error}"
            raise

    def _judge(self, path: str, verdict: Verdict, put: Put) -> None:
        self.record.coming.pop(path, None)
        if not verdict.why:
            self._arrived(path, put)
            self.errors.clear()
            self.vain.pop(workspace(path), None)
            self.arrived += 1
            self.say(f"pushed: {path!a}")
            return
        self.record.failed[path] = verdict.why
        if verdict.broke:
            self.vain[workspace(path)] += 1
            # What is changed here while it goes says nothing of the share.
            if verdict.why != on_share.SPOILT:
                self.errors[workspace(path)] = verdict.why
        else:  # what is somebody else's stays so
            self.record.waiting.pop(path, None)

    def _remove(self, gone: Parcels) -> None:
        for path, verdict in self._told(on_share.remove, gone):
            if verdict.why:
                self.record.failed[path] = verdict.why
                continue
            del self.record.put[path]
            self.say(f"taken away, as it is declared no longer: {path!a}")
        if gone:
            pushed.write_files(self.host, self.record)

    def _look(self, looks: Parcels) -> None:
        """What is gone or altered there since it arrived is told."""
        for path, verdict in self._told(on_share.look, looks):
            self.record.missed.pop(path, None)
            same = self.record.put.get(path, ())[:3] == looks[path][:3]
            if verdict.why and same and not verdict.broke:
                self.record.missed[path] = verdict.why
                self.record.failed[path] = verdict.why
        if looks:
            self.record.looked = history.now()
            pushed.write_files(self.host, self.record)

    def _arrived(self, path: str, put: Put) -> None:
        self.record.put[path] = put
        for kept in (self.record.waiting, self.record.failed, self.record.missed):
            kept.pop(path, None)


def _parcel(put: Put) -> Parcel:
    """To look for it, and for nothing else."""
    return Parcel(*put[:3], put.sign[2] if put.sign else 0, ours=(put[1:3],))
