"""What of the workspaces may go to level 4: as their manifests say, under names it can have there."""

from __future__ import annotations

import os
from functools import partial
from typing import Callable, Container, Iterable, NamedTuple

from backend_server.host import opened
from backend_server.host.opened import NotPlain, Output
from backend_server.outputs import windows
from backend_server.text import manifest
from backend_server.text.manifest import Manifest


LARGEST = 4 << 30  # bytes of one file
# Names of files and folders in all that is declared, for which there is memory, and time.
MOST = 1_000_000
_TOO_MUCH = "is too much for this host"
_LONGEST = 300  # characters: what has more has no place there

How = Callable[[int, str], Output]


class Outgoing(NamedTuple):
    """Paths are below the workspaces' folder, and the only names that are ever said of files."""

    # The path on the share, by ours; the manifest last, of each workspace whose was understood.
    names: dict[str, str]
    refused: dict[str, str]  # why it has no place there, by ours


def listed(top: int, before: Container[str]) -> Outgoing:
    """Of the folder TOP. Of paths that differ only in case the one from BEFORE keeps its name.

    Where all together is too much, the workspaces with the largest manifests wait.
    """
    found, room, declared = Outgoing({}, {}), MOST, {}
    # With a dot it would be as a folder of ours on the share; no job makes one.
    names = [name for name in os.listdir(top) if not name.startswith(".")]
    for workspace in sorted(names, key=partial(_size, top)):
        declared[workspace] = _of(top, workspace, found, room)
        room -= _names(declared[workspace])
    paths = [path for workspace in sorted(declared) for path in declared[workspace]]
    spelt = windows.spelt(sorted(paths, key=lambda path: path not in before))
    for path in paths:
        if spelt[path].refused:
            found.refused[path] = spelt[path].refused
        else:
            found.names[path] = spelt[path].path
    return found


def _size(top: int, workspace: str) -> int:
    """Of its manifest; 0 where there is none."""
    output = tried(opened.opened, top, f"{workspace}/{manifest.MANIFEST}", {})
    if output:
        os.close(output.fd)
    return output.size if output else 0


def _of(top: int, workspace: str, found: Outgoing, room: int) -> list[str]:
    path = f"{workspace}/{manifest.MANIFEST}"
    try:
        declared = manifest_of(opened.opened(top, path)).paths()
        paths = [f"{workspace}/{each}"[:_LONGEST] for each in declared]
        if _names(paths) > room:
            raise NotPlain(f"declares more than fits into {MOST:,} names in all")
    except OSError:  # no workspace, or not yet
        return []
    except (NotPlain, manifest.Wrong, MemoryError) as error:
        found.refused[path] = str(error) or _TOO_MUCH
        return []
    return paths


def _names(paths: Iterable[str]) -> int:
    return sum(path.count("/") + 1 for path in paths)


def manifest_of(output: Output) -> Manifest:
    """What the manifest that is open there says; it is closed then."""
    with open(output.fd, "rb") as file:
        return manifest.read(file.read(manifest.LARGEST + 1))


def to_go(top: int, path: str) -> Output:
    """The file at PATH, or in a manifest's place one that says nothing of what may not go.

    Raises NotPlain as well for one that may not go as it is.
    """
    output = opened.opened(top, path)
    if path.partition("/")[2] != manifest.MANIFEST:
        return output
    try:
        data = manifest_of(output).text().encode()
    except (manifest.Wrong, MemoryError) as error:
        raise NotPlain(str(error) or _TOO_MUCH) from None
    fd = os.memfd_create("manifest")
    os.write(fd, data)
    os.utime(fd, ns=(output.sign[2], output.sign[2]))
    return output._replace(fd=fd, size=len(data))


def tried(how: How, top: int, path: str, failed: dict[str, str]) -> Output | None:
    """None where it is gone by now, or FAILED says why it may not be pushed."""
    try:
        output = how(top, path)
    except FileNotFoundError:
        return None
    except NotPlain as error:
        failed[path] = str(error)
    except OSError as error:
        failed[path] = f"cannot be read: {error.strerror}"
    else:
        if output.size <= LARGEST:
            return output
        os.close(output.fd)
        failed[path] = f"is larger than {LARGEST >> 30} GiB"
    return None
