"""In which order files go to the share, and which of them at once. Pure."""

from __future__ import annotations

from collections import defaultdict
from itertools import count
from typing import Iterable, Iterator, Mapping


# So much at once: fewer files than a process may have open, and little to do once more.
_FILES, BIG = 400, 16 << 20


def workspace(path: str) -> str:
    """The first name of a path below the workspaces' folder."""
    return path.partition("/")[0]


def batches(
    sizes: Mapping[str, int],
    failed: Iterable[str],
    again: bool = False,
) -> list[list[str]]:
    """Of files of these sizes those that go at once: of one workspace.

    Big ones go after small ones, and workspaces take turns. FAILED before, the longest ago
    first; AGAIN: of workspaces with such a file, and else of all others: they go after all else,
    and so they hold up none.
    """
    order = {path: n for n, path in enumerate(failed, 1)}
    unwell = {workspace(path): n for path, n in order.items()}

    def rank(path: str) -> tuple[bool, int, int]:
        return sizes[path] > BIG, unwell.get(workspace(path), 0), order.get(path, 0)

    turns: dict[str, Iterator[int]] = defaultdict(count)

    def turn(some: list[str]) -> tuple[bool, int]:
        return sizes[some[0]] > BIG, next(turns[workspace(some[0])])

    paths = (p for p in sizes if (workspace(p) in unwell) == again)
    return sorted(_at_once(sorted(paths, key=rank), sizes), key=turn)


def _at_once(paths: Iterable[str], sizes: Mapping[str, int]) -> Iterator[list[str]]:
    some: list[str] = []
    for path in paths:
        size = sum(sizes[each] for each in (*some, path))
        other = some and workspace(path) != workspace(some[0])
        if some and (other or len(some) == _FILES or size > BIG):
            yield some
            some = []
        some.append(path)
    if some:
        yield some
