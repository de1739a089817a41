"""One pass: every workspace is laid out for Airlock as its manifest and its reviewers have it by now."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from typing import Any, Callable, Dict, Iterator

from backend_server.host import files, opened
from backend_server.host.looking import acl_at
from backend_server.host.opened import NotPlain
from backend_server.review.shelf import Entries, Shelf, shelf
from backend_server.review.verdicts import REDACTED, Seen, Verdicts, unfit
from backend_server.storage.component import REVIEW_TREE, WORKSPACES
from backend_server.text import acl, manifest
from backend_server.text.errors import UserError
from backend_server.text.manifest import FOLDER, MANIFEST, Manifest
from backend_server.text.roles import HIGH, MEDIUM, OPENSAFELY_ID


STATE = "/var/lib/opensafely/review"
NOTES = f"{FOLDER}/redactions.txt"  # in Airlock beside the logs

State = Dict[str, Any]


def lay(say: Callable[[str], None]) -> None:
    """What Airlock is shown is as the workspaces have it; says what came, went, and was left.

    Of two at once the second waits. One workspace never holds up another.
    """
    os.umask(0o027)
    with contextlib.ExitStack() as stack:
        places = (REVIEW_TREE, WORKSPACES[MEDIUM], WORKSPACES[HIGH])
        review, medium, high = (stack.enter_context(opened.tree(p)) for p in places)
        fcntl.flock(review, fcntl.LOCK_EX)
        for workspace in sorted({*os.listdir(medium), *os.listdir(review)}):
            if unfit(workspace):
                continue
            try:
                with _folders(workspace, medium, high) as (here, made):
                    _lay(review, workspace, here, made, say)
            except (manifest.Wrong, UserError) as error:
                say(f"{workspace}: {error}; what Airlock shows of it stays as it is")
            except OSError as error:
                why = f"{error.strerror} ({error.filename!a})"
                say(f"{workspace}: {why}; what Airlock shows of it stays as it is")


@contextlib.contextmanager
def _folders(
    workspace: str, medium: int, high: int
) -> Iterator[tuple[int | None, int | None]]:
    """Of the workspace in both trees; None where it is none."""
    with contextlib.ExitStack() as stack:
        found: list[int | None] = []
        for top in (medium, high):
            try:
                found.append(opened.step(stack, top, workspace))
            except FileNotFoundError:
                found.append(None)
        yield found[0], found[1]


def _lay(
    review: int,
    workspace: str,
    here: int | None,
    made: int | None,
    say: Callable[[str], None],
) -> None:
    known = workspace in os.listdir(review)
    if here is None or made is None:
        if (
            known and here is made
        ):  # archived, or deleted: requests still ask for its manifest
            with shelf(review, workspace) as empty:
                empty.hold({}, {}, ())
        elif known:
            raise NotPlain("is in one of both trees only")
        return
    try:
        state = read_state(workspace)
        theirs = _manifest(here, workspace, state)
    except FileNotFoundError:
        if known:
            raise NotPlain("has no manifest") from None
        return
    with shelf(review, workspace) as found:
        _one(found, theirs, here, made, state, say)


def read_state(workspace: str) -> State:
    """As the last pass left it; where that cannot be read, all is read once more."""
    try:
        with open(f"{STATE}/{workspace}.json", encoding="utf-8") as file:
            text = file.read()
        return {**json.loads(text), "text": text}
    except (FileNotFoundError, ValueError):
        pass
    fresh: State = {"logs": {}, "told": {}, "ended": {}, "closed": [], "text": ""}
    return {"files": {}, **fresh}


def _manifest(here: int, workspace: str, state: State) -> Manifest:
    """The agent's; STATE says by then whether nobody else can have written it."""
    with contextlib.ExitStack() as stack:
        folder = opened.step(stack, here, FOLDER)
        output = opened.opened(folder, MANIFEST.rpartition("/")[2])
        file = stack.enter_context(open(output.fd, "rb"))
        for fd in (folder, output.fd):
            if os.fstat(fd).st_uid != OPENSAFELY_ID:
                raise NotPlain("has a manifest, or metadata, of somebody's own")
        found = manifest.read(file.read(manifest.LARGEST + 1))
        if found.workspace not in (workspace, None):
            raise NotPlain(f"has the manifest of {found.workspace!a}")
        closed = found.workspace and _closed(folder, acl.DEFAULT) and _closed(folder)
        inode, first = os.fstat(folder).st_ino, output.sign[0]
        if not (closed and _closed(output.fd)):
            state["closed"] = []
        elif state["closed"][:1] != [inode]:
            # Until then somebody may have had this one open.
            state["closed"] = [inode, first]
        elif state["closed"][1] != first:
            state["closed"] = [inode, None]
    return found


def _closed(fd: int, kind: str = acl.ACCESS) -> bool:
    """Nobody but the service may write there, or what is made there."""
    found = acl_at(f"/proc/self/fd/{fd}", kind, follow=True)
    if not found and kind == acl.ACCESS:
        found = acl.of_mode(os.fstat(fd).st_mode)
    owner = {("user", None), ("user", OPENSAFELY_ID), ("mask", None)}
    return bool(found) and not any(
        entry.permissions & acl.WRITE and (entry.kind, entry.id) not in owner
        for entry in found
    )


def _one(
    found: Shelf,
    theirs: Manifest,
    here: int,
    made: int,
    state: State,
    say: Callable[[str], None],
) -> None:
    before = {p: Seen(tuple(each[0]), *each[1:]) for p, each in state["files"].items()}
    trusted = state["closed"][1:] == [None]
    verdicts = Verdicts(here, made, found, before, trusted)
    for path, said in sorted(theirs.outputs.items()):
        verdicts.of(path, said)
    logs = dict(_logs(found, theirs, here, made, state["logs"]))
    failed = found.hold(verdicts.want, verdicts.sources, {*logs, NOTES})
    for path, why in failed.items():
        verdicts.told[path] = f"is not shown: its copy in high privacy {why}"
        for each in (path, path[len(REDACTED) + 1 :]):
            verdicts.seen.pop(each, None)
    shown = {p: said for p, said in verdicts.want.items() if p not in failed}
    ended = {p: why for p, why in state["ended"].items() if p not in shown}
    ended.update((p, verdicts.told[p]) for p in found.entries if p in verdicts.told)
    told = {**ended, **verdicts.told}
    for line in _changes(found.entries, shown, state["told"], told):
        say(f"{found.workspace}: {line}")
    says = notes(shown, told)
    if says != state.get("notes") or NOTES not in found.sizes:
        found.write(NOTES, says)
    new = {"files": verdicts.seen, "logs": logs, "told": told, "notes": says}
    new.update(ended=ended, closed=state["closed"])
    text = json.dumps(new) + "\n"
    if text != state["text"]:
        path = f"{STATE}/{found.workspace}.json"
        files.replace("/", path, text.encode(), 0o600, (OPENSAFELY_ID, OPENSAFELY_ID))


def _logs(
    found: Shelf,
    theirs: Manifest,
    here: int,
    made: int,
    before: dict[str, list[int]],
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The actions' logs are there, where both trees have the same one."""
    for action in sorted({str(s.get("action") or "") for s in theirs.outputs.values()}):
        path = f"{FOLDER}/{action}.log"
        if "/" in action or unfit(f"{action}.log"):
            continue
        with contextlib.suppress(FileNotFoundError, NotPlain):
            sign = opened.sign(os.stat(path, dir_fd=here, follow_symlinks=False))
            if [*sign] != before.get(path) or path not in found.sizes:
                log = opened.opened(here, path)
                with open(log.fd, "rb"):
                    digest = opened.digest(log.fd, log.size)
                found.put(path, opened.opened(made, path), {"content_hash": digest})
            yield path, sign


def _changes(
    before: Entries, now: Entries, known: dict[str, str], told: dict[str, str]
) -> Iterator[str]:
    for path in sorted({*before, *now}):
        old, new = (each.get(path, {}).get("content_hash") for each in (before, now))
        if old != new:
            yield f"{path!a} {'is shown' if new else 'is shown no longer'}"
    for path, why in told.items():
        if known.get(path) != why:
            yield f"{path!a} {why}"


def notes(shown: Entries, told: dict[str, str]) -> str:
    """What became of each change, for who made it and who is to check it."""
    lines = []
    for path, said in sorted(shown.items()):
        if "redacted_from" in said:
            by = f" by {said['redacted_by']}" if said["redacted_by"] else ""
            lines.append(f"{path}: a change{by}, taken in at {said['redacted_at']}")
            lines += [
                f"    look at {each}" for each in said["note"].split("; ") if each
            ]
    lines += [f"{path!a} {why}" for path, why in sorted(told.items())]
    return "".join(f"{line}\n" for line in lines or ["Nothing was changed here."])
