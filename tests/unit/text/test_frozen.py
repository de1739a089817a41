"""What a class of ours with named values has from Frozen."""

from __future__ import annotations

import pytest

from backend_server.text.frozen import Frozen


class Point(Frozen):
    x: int
    y: int = 0

    def __post_init__(self):
        if self.x < 0:
            raise ValueError("left of here")


class Spot(Point):
    name: str = ""


class Renamed(Spot):
    y: int = 7


class Elsewhere(Renamed):
    name = "there"


def test_fields_are_those_of_every_class_above_in_order():
    assert Spot._fields == ("x", "y", "name")
    assert Renamed._fields == Spot._fields
    assert (Spot(1).y, Renamed(1).y, Spot(1, 2, "a").name) == (0, 7, "a")
    assert Renamed._field_defaults == {"y": 7, "name": ""}
    assert Elsewhere(1) == Elsewhere(1, 7, "there")
    assert Elsewhere._fields == Spot._fields


def test_it_is_what_its_values_are():
    assert Point(1) == Point(x=1, y=0)
    assert len({Point(1), Point(y=0, x=1), Point(1, 2)}) == 2
    assert Point(1) != Spot(1)
    assert Point(1) != Point(2)
    assert repr(Spot(1, name="a")) == "Spot(x=1, y=0, name='a')"
    assert eval(repr(Spot(1, 2, "a"))) == Spot(1, 2, "a")
    assert Spot(1)._replace(name="b") == Spot(1, 0, "b")


@pytest.mark.parametrize(
    ("values", "named"),
    [((), {}), ((1, 2, 3), {}), ((1,), {"x": 1}), ((1,), {"z": 1}), ((), {"y": 1})],
)
def test_values_that_do_not_fit_are_refused(values, named):
    with pytest.raises(TypeError, match=r"wanted Point\(x, y\)"):
        Point(*values, **named)


def test_a_class_can_refuse_values():
    for act in (lambda: Point(-1), lambda: Point(1)._replace(x=-1)):
        with pytest.raises(ValueError, match="left of here"):
            act()


def test_nothing_of_it_changes():
    point = Point(1)
    with pytest.raises(AttributeError, match="never changes: x"):
        point.x = 2
    with pytest.raises(AttributeError, match="never changes: z"):
        point.z = 2
    with pytest.raises(AttributeError, match="never changes: x"):
        del point.x
    assert point == Point(1)
