"""Every workspace is laid out for Airlock as its manifest and its reviewers have it; and an edit's way back."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from datetime import datetime, timezone
from pathlib import PurePosixPath
from typing import Any, Callable, Dict, Iterator

from backend_server.host import files, opened
from backend_server.host.opened import NotPlain
from backend_server.outputs.outgoing import manifest_of
from backend_server.outputs.within import Within, at
from backend_server.review.shelf import (
    LOOK_S,
    NOTES,
    Entries,
    Seen,
    Shelf,
    entries,
    read,
    written,
)
from backend_server.review.tables import points
from backend_server.review.verdicts import Verdicts, beside, unfit
from backend_server.storage.component import REVIEW_STATE, REVIEW_TREE, WORKSPACES
from backend_server.text import manifest
from backend_server.text.errors import Refused, UserError
from backend_server.text.manifest import FOLDER, MANIFEST, Manifest
from backend_server.text.roles import HIGH, MEDIUM, OPENSAFELY_ID


State = Dict[str, Dict[str, Any]]
Say = Callable[[str], None]

_SAID = 50  # lines of a pass, of a workspace
_NOTED = 1000
_LONGEST = 200  # bytes
_FAILED = ".failed"  # a name that no workspace has; status reads it


def lay(say: Say) -> None:
    """What Airlock is shown is as the workspaces have it; says what came, went, and was left.

    Of two at once the second waits. One workspace never holds up another.
    """
    os.umask(0o027)
    with contextlib.ExitStack() as stack:
        places = (REVIEW_TREE, WORKSPACES[MEDIUM], WORKSPACES[HIGH], REVIEW_STATE)
        trees = [stack.enter_context(opened.tree(place)) for place in places]
        review, medium, high, own = trees
        # Whoever may read a folder may lock it: this one nobody else may.
        fcntl.flock(own, fcntl.LOCK_EX)
        folders = [
            e.name for e in os.scandir(medium) if e.is_dir(follow_symlinks=False)
        ]
        failed: dict[str, str] = {}
        for workspace in filter(_fit, sorted({*folders, *os.listdir(review)})):
            try:
                _lay(review, workspace, medium, high, say)
            except (manifest.Wrong, UserError, OSError) as error:
                failed[workspace] = getattr(error, "strerror", "") or str(error)
        _tell(failed, say)


def _fit(workspace: str) -> bool:
    """Whether it can be shown; no agent makes another. Its state must have a name, too."""
    plain = not unfit(workspace) and "/" not in workspace
    return plain and len(os.fsencode(workspace)) <= _LONGEST


def _tell(failed: dict[str, str], say: Say) -> None:
    """Once, for as long as it lasts."""
    before = _kept(_FAILED)
    new = {name: why for name, why in failed.items() if before.get(name) != why}
    stays = "what Airlock shows of it stays as it is"
    for line in _some([f"{n}: {why}; {stays}" for n, why in new.items()], _SAID):
        say(line)
    if failed != before:
        _keep(_FAILED, failed)


def _some(lines: list[str], most: int) -> list[str]:
    """The first, and how many more: a reviewer can make any number of them."""
    more = [f"and {len(lines) - most:,} more"] if lines[most:] else []
    return [*lines[:most], *more]


def _lay(review: int, workspace: str, medium: int, high: int, say: Say) -> None:
    state = {"here": {}, "there": {}, "told": {}, "refused": {}, **_kept(workspace)}
    with contextlib.ExitStack() as stack:
        here = made = -1
        try:
            here, made = (opened.step(stack, top, workspace) for top in (medium, high))
            theirs = _manifest(here, workspace)
        except FileNotFoundError:
            if workspace not in os.listdir(review):
                return
            if any(workspace in os.listdir(top) for top in (medium, high)):
                why = "is in one of both trees only, or has no manifest"
                raise NotPlain(why) from None
            theirs = Manifest(workspace, None, {})  # requests of it ask for one
        with contextlib.suppress(FileExistsError):
            os.mkdir(workspace, 0o750, dir_fd=review)
        top = opened.step(stack, review, workspace)
        shelf = Shelf(top, workspace, state["there"])
        end = time.monotonic() + LOOK_S
        seen = Seen(here, state["here"], end), Seen(made, {}, end)
        _one(Verdicts(*seen, shelf, state["refused"]), theirs, state, say)


def _manifest(here: int, workspace: str) -> Manifest:
    """The agent's."""
    with contextlib.ExitStack() as stack:
        folder = opened.step(stack, here, FOLDER)
        output = opened.opened(here, MANIFEST)
        owners = {os.fstat(fd).st_uid for fd in (here, folder, output.fd)}
    if owners != {OPENSAFELY_ID}:
        os.close(output.fd)
        raise NotPlain("is, or has a manifest or metadata, of somebody's own")
    found = manifest_of(output)
    if found.workspace not in (workspace, None):
        raise NotPlain(f"has the manifest of {found.workspace!a}")
    return found


def _one(verdicts: Verdicts, theirs: Manifest, state: State, say: Say) -> None:
    shelf, told, before = verdicts.shelf, verdicts.told, state["told"]
    # What ended a redaction is told until there is another.
    ended = (beside(p) for p in theirs.outputs)
    told.update((p, before[p]) for p in ended if p in before)
    verdicts.all(theirs)
    shown = shelf.hold(verdicts.want, told)
    shelf.write(NOTES, _notes(shown, told).encode())
    news = (f"{path!a} {why}" for path, why in told.items() if before.get(path) != why)
    lines = (*_changes(shelf.entries, shown), *news)
    for line in _some([f"{shelf.workspace}: {line}" for line in lines], _SAID):
        say(line)
    found = {"here": verdicts.here.found, "there": shelf.found, "told": told}
    found["refused"] = verdicts.refused
    if found != state:
        _keep(shelf.workspace, found)


def _keep(name: str, found: dict[str, Any]) -> None:
    path, data = f"{REVIEW_STATE}/{name}.json", json.dumps(found)
    files.replace("/", path, data.encode(), 0o600, (OPENSAFELY_ID,) * 2)


def _kept(name: str) -> dict[str, Any]:
    """As the last pass left it; where that cannot be read, all is read, and told, once more."""
    with contextlib.suppress(FileNotFoundError, ValueError), open(
        f"{REVIEW_STATE}/{name}.json", encoding="utf-8"
    ) as file:
        return dict(json.load(file))
    return {}


def _changes(before: Entries, now: Entries) -> Iterator[str]:
    for path in sorted({*before, *now}):
        old, new = (each.get(path, {}).get("content_hash") for each in (before, now))
        if old != new:
            yield f"{path!a} {'is shown' if new else 'is shown no longer'}"


def _notes(shown: Entries, told: dict[str, str]) -> str:
    """What became of each change, for who made it and who is to check it."""
    lines = []
    for path, said in sorted(shown.items()):
        if "redacted_from" in said:
            by = f", in a file of {said['file_of']}'s" if said.get("file_of") else ""
            lines.append(f"{path}: a change{by}, taken in at {said['redacted_at']}")
            lines += [f"    {each}" for each in said.get("points", "").splitlines()]
    lines += [f"{path!a} {why}" for path, why in sorted(told.items())]
    lines = _some(lines, _NOTED) or ["Nothing was changed here."]
    return "".join(f"{line}\n" for line in lines)


def pointed(workspace: str) -> dict[str, list[str]]:
    """What points to people in each table that Airlock is shown. Raises Refused where it shows none."""
    found: dict[str, list[str]] = {}
    missing = contextlib.suppress(FileNotFoundError)
    if _fit(workspace):
        with missing, opened.tree(f"{REVIEW_TREE}/{workspace}") as top:
            shown = entries(top)
            for path, said in sorted(shown.items()):
                of = said.get("redacted_from", "")
                with contextlib.suppress(FileNotFoundError, NotPlain):  # gone just now
                    at_first = shown.get(of, {}).get("content_hash")
                    made = read(top, of, at_first) if at_first else None
                    data = read(top, path, said["content_hash"])
                    found[path] = points(path, data, made)
    if not found:
        raise Refused(
            f"Airlock is shown no output of {workspace!a}",
            hint="sudo systemctl start opensafely-review.service",
        )
    return found


def made(workspace: str, path: str) -> str:
    """The SHA-256 of an output as its job made it. Raises Refused for what is none."""
    missing = contextlib.suppress(FileNotFoundError)
    if _fit(workspace):
        with missing, opened.tree(f"{REVIEW_TREE}/{workspace}") as top:
            said = entries(top).get(path, {})
            if said and "redacted_from" not in said:
                return str(said["content_hash"])
    raise Refused(
        f"{path!a} is no output that a job made in {workspace!a}, as Airlock is shown it",
        hint="sudo systemctl start opensafely-review.service",
    )


def restored(workspace: str, path: str) -> str:
    """The path that what was there has now; empty where nothing was, or the job's own bytes."""
    sha256, kept = made(workspace, path), ""
    with contextlib.ExitStack() as stack:
        places = (f"{p}/{workspace}" for p in (REVIEW_TREE, WORKSPACES[MEDIUM]))
        review, top = (stack.enter_context(opened.tree(place)) for place in places)
        data = read(review, path, sha256)
        with contextlib.suppress(OSError, NotPlain):
            read(top, path, sha256)
            return ""
        within = Within(os.fstat(top).st_dev, top, top)
        # Of the moment, to its end: nothing that was kept before has this name.
        pure, now = PurePosixPath(path), datetime.now(timezone.utc)
        edited = f"edited-{now:%Y%m%dT%H%M%S.%f}Z"
        aside = pure.with_name(f"{pure.stem[:100]}.{edited}{pure.suffix}")
        to = at(within, path, make=True)
        with written(top, data, 0o660) as (part, _), to as (folder, name):
            with contextlib.suppress(FileNotFoundError):
                os.rename(name, aside.name, src_dir_fd=folder, dst_dir_fd=folder)
                kept = str(aside)
            try:  # a rename would go over what somebody saves just now
                os.link(part, name, src_dir_fd=top, dst_dir_fd=folder)
            except FileExistsError:
                raise NotPlain(
                    f"was saved by somebody just now, and is left; before, it was {kept!a}"
                ) from None
    return kept
