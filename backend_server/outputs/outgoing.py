"""What of the workspaces may go to level 4: as their manifests say, under names it can have there."""

from __future__ import annotations

import os
from typing import Container, Iterator, NamedTuple

from backend_server.outputs import manifest, opened, windows
from backend_server.outputs.opened import NotPlain, Output


_LARGEST_MANIFEST = 64 << 20  # bytes


class Outgoing(NamedTuple):
    """Paths are below the workspaces' folder, and the only names that are ever said of files."""

    names: dict[str, str]  # the path on the share, by ours; a workspace's manifest last
    refused: dict[str, str]  # why it has no place there, by ours
    workspaces: set[str]  # whose manifest was understood


def listed(top: int, before: Container[str]) -> Outgoing:
    """Of the folder TOP. Of paths that differ only in case the one from BEFORE keeps its name."""
    found = Outgoing({}, {}, set())
    paths = [path for name in sorted(os.listdir(top)) for path in _of(top, name, found)]
    spelt = windows.spelt(sorted(paths, key=lambda path: path not in before))
    for path in paths:
        if spelt[path].refused:
            found.refused[path] = spelt[path].refused
        else:
            found.names[path] = spelt[path].path
    return found


def _of(top: int, workspace: str, found: Outgoing) -> Iterator[str]:
    if workspace.startswith(
        "."
    ):  # the share has such a folder of ours, and jobs make none
        return
    path = f"{workspace}/{manifest.MANIFEST}"
    try:
        declared = manifest.paths(_text(opened.opened(top, path)))
    except OSError:  # no workspace, or not yet
        return
    except (NotPlain, manifest.Wrong) as error:
        found.refused[path] = str(error)
        return
    found.workspaces.add(workspace)
    yield from (f"{workspace}/{each}" for each in declared)


def _text(output: Output) -> str:
    with open(output.fd, "rb") as file:
        data = file.read(_LARGEST_MANIFEST + 1)
    if len(data) > _LARGEST_MANIFEST:
        raise manifest.Wrong(f"has more than {_LARGEST_MANIFEST} bytes")
    return data.decode("utf-8", "surrogateescape")
