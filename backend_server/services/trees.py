"""Whether a container sees the same file systems below its trees as this host does."""

from __future__ import annotations

import contextlib
from typing import Iterable, Mapping, Tuple

from backend_server.host import HostReader
from backend_server.text.parsers import parse_mount_sources


Sources = Mapping[str, Tuple[str, str]]


def unlike(host: HostReader, name: str, trees: Iterable[str]) -> list[str]:
    """Where something else is mounted, by the kernel's lists alone: no file system is asked."""
    pid = host.docker_object(name).get("State", {}).get("Pid")
    here = parse_mount_sources(host.read("/proc/self/mountinfo") or "")
    with contextlib.suppress(OSError):  # EINVAL, of one that has ended a moment ago
        inside = parse_mount_sources(host.read(f"/proc/{pid}/mountinfo") or "")
        return differing(here, inside, tuple(trees)) if pid and inside else []
    return []


def differing(here: Sources, inside: Sources, trees: tuple[str, ...]) -> list[str]:
    below = tuple(f"{tree}/" for tree in trees)
    places = {*trees, *(at for at in (*here, *inside) if at.startswith(below))}
    return sorted(at for at in places if _source(here, at) != _source(inside, at))


def _source(mounts: Sources, path: str) -> tuple[str, str]:
    """The device, and where on it, that a path leads to."""
    top = path
    while top and top not in mounts:
        top = top.rpartition("/")[0]
    device, root = mounts.get(top or "/", ("", ""))
    return device, root.rstrip("/") + path[len(top) :]
