"""The rules of the engine, on a made-up noun whose host is a dictionary."""

from __future__ import annotations

import os

import pytest

from backend_server.engine.engine import component, plan, refusals, walk, well_formed
from backend_server.engine.resource import Resource
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.resources import Directory, File
from backend_server.text.change import compare
from backend_server.text.errors import Refused, UserError


class Killed(BaseException):
    """Stands for a signal: nothing may catch it."""


# What acts of the made-up noun do.
REFUSE = Refused("a person decides", hint="do it")
FAIL = UserError("it failed")
DISK = OSError(5, "Input/output error", "/x")


class Lamp(Resource):
    """A lamp that is on. TROUBLE comes when it is looked at, or when it is switched."""

    name: str
    on: bool = True
    look: str = ""
    switch: str = ""
    notify: tuple[str, ...] = ()
    after: str = ""  # the label of what must be changed before

    def notifies(self):
        return self.notify

    def check(self, host):
        trouble(self.look)
        found = host.lamps.get(self.name, False) or bool(host.planned(self.after))
        return compare(on=(found, self.on))

    def apply(self, host, changes):
        host.acts.append(self.name)
        trouble(self.switch)
        if self.switch != "broken":
            host.lamps[self.name] = self.on


def trouble(kind):
    kinds = {"refuse": REFUSE, "fail": FAIL, "disk": DISK, "kill": Killed()}
    if kind in kinds:
        raise kinds[kind]


class House(Host):
    """A host that has lamps, too."""

    def __init__(self, root):
        super().__init__(root)
        self.lamps = {}
        self.acts = []


@pytest.fixture
def root(tmp_path):
    """Enough of a host for pending marks. Here root is whoever runs the tests."""
    me = f"root:x:{os.getuid()}:{os.getgid()}:root:/root:/bin/bash\n"
    for name, text in {
        "etc/passwd": me,
        "etc/group": f"root:x:{os.getgid()}:\n",
        "proc/sys/kernel/random/boot_id": "b007\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.fixture
def house(root):
    return House(root)


def lamps(*names, **fields):
    return [Lamp(name, **fields) for name in names]


# ---- declarations


def test_one_owner_for_each_fact():
    parts = [
        component("a", [File("/x", "1"), *lamps("l")]),
        component("b", [Directory("/x"), *lamps("l"), *lamps("m")]),
    ]
    with pytest.raises(Refused) as refused:
        well_formed(parts)
    assert str(refused.value).splitlines()[1:] == [
        "/x: a: File /x, b: Directory /x",
        "Lamp l: a: Lamp l, b: Lamp l",
    ]


@pytest.mark.parametrize(
    "before",
    ["/srv/a/file", "/srv/a/b/file", "/srv/a/b/c/file"],
)
def test_a_directory_comes_before_what_is_inside(before):
    parts = [component("a", [File(before, "1")]), component("b", [Directory("/srv/a")])]
    with pytest.raises(Refused, match="Directory /srv/a is declared after File"):
        well_formed(parts)
    well_formed(reversed(parts))


# ---- order, and the second look


def test_work_is_done_in_declared_order(house):
    parts = [component("x", lamps("c", "a")), component("y", lamps("b"))]
    asked = []
    outcomes = list(walk(parts, house, asked.append))
    assert house.acts == ["c", "a", "b"] == [lamp.name for lamp in asked]
    assert [outcome.component for outcome in outcomes] == ["x", "x", "y"]


def test_what_is_as_declared_is_left_alone(house):
    house.lamps["a"] = True
    asked = []
    (outcome,) = walk([component("x", lamps("a"))], house, asked.append)
    assert (outcome.changes, outcome.error, house.acts, asked) == ((), None, [], [])


@pytest.mark.parametrize("there", [True, False])
def test_a_component_counts_where_its_device_is(house, root, there):
    (root / "dev").mkdir()
    if there:
        (root / "dev/clock").touch()
    parts = [
        component("x", lamps("a"), device="/dev/clock"),
        component("y", lamps("b"), needs=("x",)),
    ]
    names = ["x", "y"] if there else ["y"]
    assert [outcome.component for outcome in plan(parts, house)] == names
    assert [outcome.component for outcome in walk(parts, house)] == names
    assert house.lamps == ({"a": True, "b": True} if there else {"b": True})


def test_the_second_look_decides(house):
    (outcome,) = walk([component("x", lamps("a", switch="broken"))], house)
    assert str(outcome.error) == (
        "Lamp a still differs after it was changed: on is False, not True"
    )
    assert outcome.changes


# ---- failures


@pytest.mark.parametrize("when", ["look", "switch"])
@pytest.mark.parametrize("what", ["refuse", "fail", "disk"])
def test_a_failure_ends_its_component_and_those_that_need_it(house, when, what):
    parts = [
        component("first", lamps("a")),
        component("bad", [*lamps("b"), Lamp("c", **{when: what}), *lamps("d")]),
        component("direct", lamps("e"), needs=("bad",)),
        component("indirect", lamps("f"), needs=("first", "direct")),
        component("free", lamps("g"), needs=("first",)),
    ]
    outcomes = {outcome.resource.name: outcome for outcome in walk(parts, house)}
    assert [name for name, lit in house.lamps.items() if lit] == ["a", "b", "g"]
    assert [n for n, o in outcomes.items() if not o.reached] == ["d", "e", "f"]
    assert [n for n, o in outcomes.items() if o.error] == ["c"]
    assert list(outcomes) == list("abcdefg")


def test_the_kernels_own_words_are_kept(house):
    (outcome,) = walk([component("x", lamps("a", switch="disk"))], house)
    assert "Lamp a could not be" in str(outcome.error)
    assert "Input/output error (/x)" in str(outcome.error)


def test_a_bug_is_not_caught(house):
    parts = [component("x", lamps("a", switch="kill"))]
    with pytest.raises(Killed):
        list(walk(parts, house))


# ---- the plan


def test_plan_touches_nothing_and_goes_past_errors(house, root):
    parts = [
        component("x", [Lamp("a", look="refuse"), Lamp("b", look="disk")]),
        component("y", [*lamps("c", notify=("u",)), File("/etc/new", "x\n")]),
    ]
    before = sorted(root.rglob("*"))
    found = list(plan(parts, house))
    assert [str(o.error) for o in refusals(found)] == ["a person decides"]
    assert [bool(o.error) for o in found] == [True, True, False, False]
    assert [bool(o.changes) for o in found] == [False, False, True, True]
    assert (house.acts, house.lamps) == ([], {})
    assert sorted(root.rglob("*")) == before


def test_plan_tells_a_check_what_comes_before_it(house):
    """A lamp that shines once another is lit differs neither in the plan nor after."""
    parts = [component("x", [Lamp("a"), Lamp("b", after="Lamp a")])]
    assert [bool(o.changes) for o in plan(parts, house)] == [True, False]
    parts = [component("x", [Lamp("b", after="Lamp a"), Lamp("a")])]
    assert [bool(o.changes) for o in plan(parts, house)] == [True, True]


def test_plan_looks_at_the_rest_while_systemd_answers(house, monkeypatch):
    """Once each, until something changes: what comes after that has to see it."""
    looked = []
    check = Lamp.check

    def noted(lamp, host):
        looked.append(lamp.name)
        return check(lamp, host)

    monkeypatch.setattr(Lamp, "check", noted)
    monkeypatch.setattr(Lamp, "asks", lambda lamp: lamp.name[1:] and (lamp.name,))
    parts = [component("x", lamps("a1", "b", "c1", "d"))]
    house.lamps = dict.fromkeys(("a1", "b", "c1", "d"), True)
    assert [o.changes for o in plan(parts, house)] == [()] * 4
    assert looked == ["b", "d", "a1", "c1"]
    looked.clear()
    del house.lamps["c1"]
    assert [bool(o.changes) for o in plan(parts, house)] == [False, False, True, False]
    assert looked == ["b", "d", "a1", "c1", "d"]


def test_plan_tells_a_check_what_will_be_pending(house):
    parts = [component("x", [Lamp("a", notify=("u.service",))])]
    assert not house.pending("u.service")
    list(plan(parts, house))
    assert house.pending("u.service")
    assert not HostReader(house.root).pending("u.service")


@pytest.mark.parametrize("forgets", [plan, walk])
def test_every_run_forgets_the_plan_before(house, forgets):
    list(plan([component("x", [Lamp("a", notify=("u",))])], house))
    list(forgets([], house))
    assert not house.pending("u")
    assert house.planned("Lamp a") == ()


# ---- pending marks


def test_the_mark_stands_before_the_first_byte_and_survives_a_kill(house, root):
    parts = [component("x", [Lamp("a", switch="kill", notify=("u", "v"))])]
    with pytest.raises(Killed):
        list(walk(parts, house))
    next_run = HostReader(root)
    assert next_run.pending("u")
    assert next_run.pending("v")
    mark = (root / "var/lib/opensafely/pending/u").read_text().split(maxsplit=2)
    assert (mark[0], mark[2]) == ("b007", "Lamp a\n")


def test_no_mark_where_nothing_changes(house, root):
    house.lamps["a"] = True
    list(walk([component("x", [Lamp("a", notify=("u",))])], house))
    assert not HostReader(root).pending("u")


def test_a_unit_that_was_started_anew_has_noticed(house, root):
    house.mark_pending("u", "Lamp a")
    (root / "proc/sys/kernel/random/boot_id").write_text("another\n")
    assert not HostReader(root).pending("u")


def test_a_mark_is_cleared_once(house, root):
    house.mark_pending("u", "Lamp a")
    house.clear_pending("u")
    house.clear_pending("u")
    assert not house.pending("u")
    assert list((root / "var/lib/opensafely/pending").iterdir()) == []


def test_without_its_mark_nothing_is_changed(house, root):
    (root / "var").write_text("not a folder")
    (outcome,) = walk([component("x", [Lamp("a", notify=("u",))])], house)
    assert outcome.error
    assert house.acts == []
