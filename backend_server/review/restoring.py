"""The way back of an edit: the job's own bytes, and beside them what was there instead."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import PurePosixPath

from backend_server.host import opened
from backend_server.host.files import NEW, write_all
from backend_server.host.folder import descriptor
from backend_server.outputs.within import Within, at
from backend_server.review.laying import State, read_state
from backend_server.review.shelf import Entries, read_entries
from backend_server.storage.component import REVIEW_TREE, WORKSPACES
from backend_server.text.errors import Refused
from backend_server.text.roles import MEDIUM


def shown(workspace: str) -> tuple[Entries, State]:
    """What our manifest says, and the last pass. Raises Refused for a workspace that is not there."""
    with opened.tree(REVIEW_TREE) as review, contextlib.ExitStack() as stack:
        there = sorted(os.listdir(review))
        if workspace not in there:
            names = f"; there are {', '.join(map(ascii, there))}" if there else ""
            raise Refused(
                f"Airlock is shown no workspace {workspace!a}{names}",
                hint="sudo systemctl start opensafely-review.service",
            )
        return read_entries(opened.step(stack, review, workspace)), read_state(
            workspace
        )


def refuse_unknown(workspace: str, path: str) -> None:
    said = shown(workspace)[0].get(path, {})
    if not said or "redacted_from" in said:
        raise Refused(
            f"{path!a} is no output that a job made in {workspace}, as Airlock is shown it",
            hint=f"sudo backend outputs review {workspace}",
        )


def restored(workspace: str, path: str, when: str) -> str:
    """The path that what was there has now; empty where nothing was, or the job's own bytes."""
    with contextlib.ExitStack() as stack:
        review = stack.enter_context(opened.tree(REVIEW_TREE))
        medium = stack.enter_context(opened.tree(WORKSPACES[MEDIUM]))
        source = opened.opened(opened.step(stack, review, workspace), path)
        data = stack.enter_context(open(source.fd, "rb")).read()
        top = opened.step(stack, medium, workspace)
        within = Within(os.fstat(top).st_dev, top, top)
        folder, name = stack.enter_context(at(within, path, make=True))
        if _holds(top, path, data):
            return ""
        part = f".{hashlib.sha256(path.encode()).hexdigest()[:16]}.tmp"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part, dir_fd=folder)
        with descriptor(part, NEW, folder) as fd:
            write_all(fd, data)
            os.fchmod(fd, 0o660)
            os.fsync(fd)
        pure = PurePosixPath(name)
        kept = f"{pure.stem[:200]}.edited-{when}{pure.suffix}"
        try:
            os.rename(name, kept, src_dir_fd=folder, dst_dir_fd=folder)
        except FileNotFoundError:
            kept = ""
        os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
        return str(PurePosixPath(path).with_name(kept)) if kept else ""


def _holds(top: int, path: str, data: bytes) -> bool:
    try:
        output = opened.opened(top, path)
    except (FileNotFoundError, opened.NotPlain):
        return False
    with open(output.fd, "rb") as file:
        return file.read(len(data) + 1) == data
