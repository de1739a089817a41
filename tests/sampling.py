"""Tests of which a run takes one of several: which one hangs on the commit, so that each has its turn.

@pytest.mark.one_of("releases", "trixie") is left out where this commit's release is another;
`scripts/test.sh long` leaves none out.
"""

from __future__ import annotations

import random
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Iterable, Mapping

import pytest


MARK = "one_of"
HERE = Path(__file__).resolve().parent


def one_of(group: str, *names: str) -> list:
    """Parameters, of which one run takes one."""
    return [pytest.param(n, marks=getattr(pytest.mark, MARK)(group, n)) for n in names]


def chosen(items: Iterable[pytest.Item], seed: str) -> dict[str, str]:
    """The name that is taken, by group."""
    names: Mapping[str, set[str]] = defaultdict(set)
    for item in items:
        for mark in item.iter_markers(MARK):
            names[mark.args[0]].add(mark.args[1])
    return {
        group: random.Random(f"{seed} {group}").choice(sorted(found))
        for group, found in sorted(names.items())
    }


def left_out(item: pytest.Item, taken: Mapping[str, str]) -> bool:
    return any(taken[mark.args[0]] != mark.args[1] for mark in item.iter_markers(MARK))


def commit() -> str:
    """The checkout's last commit."""
    argv = ("git", "-c", f"safe.directory={HERE.parent}", "rev-parse", "HEAD")
    return subprocess.check_output(argv, cwd=HERE, text=True).strip()
