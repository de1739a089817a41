"""Names that a tired person takes for one another."""

from __future__ import annotations

from os.path import commonprefix
from typing import Iterable, Iterator

from backend_server.checkout.gather import Site, everybody
from backend_server.host import HostReader
from backend_server.text.roles import MARKER


# Short names that differ in a letter are mostly two people: ada and ida, james and games.
_ONE_MORE = 5
_ANOTHER = 7

_PAIRS = (("-", ""), ("_", ""), ("rn", "m"), ("vv", "w"))
_LETTERS = str.maketrans("1i052", "llosz")


def notes(site: Site, host: HostReader) -> Iterator[str]:
    """A sentence for each name that gets an account of ours and looks like one that is known."""
    accounts, roster = host.users().keys(), everybody(site.people)
    new = roster - (host.members(MARKER) & accounts)
    for name, other in lookalikes(new, roster | accounts):
        who = "has an account here" if other in accounts else "is on a roster too"
        yield f"{name} looks like {other}, who {who}: is it really somebody else?"


def lookalikes(new: Iterable[str], others: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each new name with the other ones it could be read as; two new ones are one pair."""
    new = frozenset(new)
    seen = {name: _seen(name) for name in sorted(new.union(others))}
    for name in sorted(new):
        for other in seen:
            told = other in new and other < name
            if name != other and not told and _alike(seen[name], seen[other]):
                yield name, other


def _seen(name: str) -> str:
    """What the eye makes of a name."""
    name = name.lower()
    for what, as_ in _PAIRS:
        name = name.replace(what, as_)
    return name.translate(_LETTERS)


def _alike(one: str, other: str) -> bool:
    """Equal, or in longer names a letter more, two swapped or, longer still, another one."""
    shorter = min(len(one), len(other))
    if one == other or shorter < _ONE_MORE or abs(len(one) - len(other)) > 1:
        return one == other
    start = len(commonprefix((one, other)))
    one, other = one[start:], other[start:]
    end = len(commonprefix((one[::-1], other[::-1])))
    one, other = one[: len(one) - end], other[: len(other) - end]
    more = len(one) + len(other) == 1
    swapped = len(one) == 2 and one == other[::-1]
    another = len(one) == len(other) == 1 and shorter >= _ANOTHER
    return more or swapped or another
