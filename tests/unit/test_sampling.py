"""Which tests a run takes: one of each group, and every one in time."""

from __future__ import annotations

import pytest

from tests import sampling


class Item:
    """A test with these marks."""

    def __init__(self, *marks):
        self.marks = [pytest.mark.one_of(*words).mark for words in marks]

    def iter_markers(self, name):
        return [mark for mark in self.marks if mark.name == name]


RELEASES = [Item(("releases", name)) for name in ("bullseye", "trixie")]
SERVERS = [Item(("servers", name)) for name in ("cut off", "dead", "frozen")]
PLAIN = Item()


def taken(seed):
    items = [*RELEASES, *SERVERS, PLAIN]
    found = sampling.chosen(items, seed)
    return [item for item in items if not sampling.left_out(item, found)]


def test_one_of_each_group_and_all_that_are_in_none():
    for seed in map(str, range(20)):
        found = taken(seed)
        assert found == taken(seed)
        assert [len({*found} & {*group}) for group in (RELEASES, SERVERS)] == [1, 1]
        assert PLAIN in found


def test_each_has_its_turn():
    assert {item for seed in range(50) for item in taken(str(seed))} == {
        *RELEASES,
        *SERVERS,
        PLAIN,
    }
