"""What a run says, to people and to programs."""

import json

import pytest

from backend_server.engine import report
from backend_server.engine.engine import Outcome, component
from backend_server.resources import Directory, File, Group, Members, NoFile, User
from backend_server.resources.package import PackageLists
from backend_server.text.change import Change, brief, compare, octal
from backend_server.text.errors import Refused, UserError


MOTD = File("/etc/motd", "a\nb\nc\n")
TEAM = Members("team", frozenset({"ada", "gus"}))


def changed(resource, *changes, error=None, reached=True):
    return Outcome("part", resource, changes, error, reached)


SAME = changed(MOTD)
ADDED = changed(MOTD, Change("text", None, MOTD.text), Change("mode", None, "0644"))
CHANGED = changed(MOTD, Change("mode", "0600", "0644"))
REMOVED = changed(NoFile("/x"), Change("path", "/x", None))
FAILED = changed(
    MOTD, Change("mode", "0600", "0644"), error=UserError("it broke", hint="mend it")
)
REFUSED = changed(MOTD, error=Refused("a person decides", hint="do"))
NOT_REACHED = changed(MOTD, reached=False)
ALL = [SAME, SAME, ADDED, CHANGED, REMOVED, FAILED, REFUSED, NOT_REACHED]


def said(*outcomes, **options):
    text = report.Text(**options)
    return [line for outcome in outcomes for line in text.lines(outcome)]


def of_change(before, after, **options):
    """The lines under a changed resource, without their margin."""
    field = Change("mode", "0600", "0644")  # so that it counts as changed
    lines = said(changed(MOTD, field, Change("text", before, after)), **options)
    return [line[6:] for line in lines[3:]]


def test_one_word_for_each():
    assert [report.kind(outcome) for outcome in ALL[1:]] == [
        "same",
        "added",
        "changed",
        "removed",
        "failed",
        "refused",
        "not reached",
    ]


def test_totals_leave_out_what_there_is_none_of():
    assert report.totals([]) == ""
    assert report.totals([SAME]) == "1 as declared"
    assert report.totals(ALL) == (
        "2 as declared, 1 added, 1 changed, 1 removed, 1 failed, 1 refused, "
        "1 not reached"
    )


def test_what_is_as_declared_is_not_mentioned():
    assert said(SAME, SAME) == []


def test_each_has_its_line_below_its_component():
    other = Outcome("other", Group("g"), (Change("name", None, "g"),))
    assert said(SAME, CHANGED, REMOVED, FAILED, NOT_REACHED, other) == [
        "part",
        "  ~ File /etc/motd",
        "      mode: 0600 -> 0644",
        "  - NoFile /x",
        "      path: /x -> absent",
        "  failed: File /etc/motd",
        "      mode: 0600 -> 0644",
        "      it broke",
        "         try: mend it",
        "  not reached: File /etc/motd and what comes after it",
        "other",
        "  + Group g",
    ]


def test_what_is_new_is_short_unless_the_whole_is_asked_for():
    assert said(ADDED) == ["part", "  + File /etc/motd, text 3 lines, mode 0644"]
    assert said(ADDED, whole=True)[2:] == [
        "      text:",
        "        +a",
        "        +b",
        "        +c",
    ]


def test_a_long_text_is_a_diff():
    assert of_change("a\nb\nc\nd\ne\nf\n", "a\nb\nX\nd\ne\nf\n") == [
        "text:",
        "  @@ -1,5 +1,5 @@",
        "   a",
        "   b",
        "  -c",
        "  +X",
        "   d",
        "   e",
    ]


NEARLY_THE_SAME = [
    ("a\nb", "a\nb\n"),
    ("a\nb\n", "a\nb\n\n"),
    ("a\r\nb\r\n", "a\nb\n"),
    ("a \nb\n", "a\nb\n"),
    ("a\u2028b\n", "a\nb\n"),
    ("a", "a\n"),
    ("", "\n"),
    ("a\n", " a\n"),
    ("", None),
    ("(text)", "(text)\n"),
]


@pytest.mark.parametrize(("before", "after"), NEARLY_THE_SAME, ids=ascii)
def test_no_change_looks_like_none(before, after):
    for old, new in [(before, after), (after, before)]:
        lines = of_change(old, new)
        if len(lines) == 1:
            left, right = lines[0].partition(": ")[2].split(" -> ")
            assert left != right
        else:
            minus = [line for line in lines if line.startswith("  -")]
            plus = [line for line in lines if line.startswith("  +")]
            assert minus or plus
            assert minus != plus


def test_sets_say_who_goes_and_who_comes():
    found = frozenset({"eve", "gus"})
    outcome = changed(TEAM, Change("users", found, TEAM.users))
    assert said(outcome)[2:] == ["      users: -eve +ada"]
    assert said(changed(TEAM, Change("users", frozenset(), TEAM.users)))[2:] == [
        "      users: +ada +gus"
    ]


def test_colours_only_where_asked_for():
    assert all("\033" not in line for line in said(*ALL))
    painted = said(*ALL, colour=True)
    assert painted[1].startswith("\033[32m  + ")
    assert painted[1].endswith("\033[0m")


# ---- what may not be shown


ESCAPES = "a\033]0;title\007\033[2J\u202ename\x9b1m\udcffz"
SHOWN = r"a\x1b]0;title\x07\x1b[2J\u202ename\x9b1m\udcffz"

HOSTILE = [
    changed(MOTD, Change("text", ESCAPES, "b")),
    changed(MOTD, Change("text", f"a\n{ESCAPES}\n", "b\n")),
    changed(TEAM, Change("users", frozenset({ESCAPES}), TEAM.users)),
    changed(TEAM, Change("users", frozenset(), frozenset({ESCAPES}))),
    changed(TEAM, Change("users", None, frozenset({ESCAPES}))),
    changed(MOTD, error=UserError(ESCAPES)),
    changed(MOTD, error=UserError("no", hint=ESCAPES)),
    changed(MOTD, error=UserError("no", hint=f"1\n{ESCAPES}")),
]


@pytest.mark.parametrize("outcome", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_on_a_host_cannot_drive_the_terminal(outcome):
    text = "\n".join(said(outcome, whole=True))
    assert SHOWN in text
    assert "\033" not in text.replace("\n", "")
    assert text.replace("\n", "").isprintable()


def test_letters_and_tabs_stay_as_they_are():
    assert report.printable("é\tß → 漢") == "é\tß → 漢"


# ---- errors


def test_a_short_hint_is_advice_and_a_long_one_a_programs_last_words():
    assert list(report.sentence(UserError("no"))) == ["no"]
    assert list(report.sentence(UserError("no", "go"))) == ["no", "   try: go"]
    long = "\n".join(map(str, range(100)))
    lines = list(report.sentence(UserError("no", long)))
    assert len(lines) == 31
    assert lines[-1] == "   | 99"


# ---- for programs


def test_data_is_what_is_not_as_declared_in_order():
    found = report.data(ALL)
    assert [entry["outcome"] for entry in found] == [
        report.kind(outcome) for outcome in ALL[2:]
    ]
    assert found[3] == {
        "component": "part",
        "resource": "File /etc/motd",
        "outcome": "failed",
        "changes": [{"field": "mode", "before": "0600", "after": "0644"}],
        "error": "it broke",
        "hint": "mend it",
    }


def test_data_survives_any_bytes_and_sets_are_lists():
    (found,) = report.data([changed(TEAM, Change("users", None, TEAM.users))])
    assert found["changes"][0]["after"] == ["ada", "gus"]
    assert json.loads(json.dumps(report.data(HOSTILE)))


# ---- what is declared


DECLARED = [
    (Group("g"), ["Group g"]),
    (Group("g", gid=0), ["Group g gid=0"]),
    (Members("g", frozenset()), ["Members g users=nobody"]),
    (TEAM, ["Members team users=ada,gus"]),
    (Directory("/d", mode=0o2770), ["Directory /d mode=2770"]),
    (User("u", home="/h", comment="it runs"), ["User u home=/h comment='it runs'"]),
    (
        File("/f", "", validate=("visudo", "-cf")),
        ["File /f text='' validate='visudo -cf'"],
    ),
    (File("/f", "one\n", mode=0o600), ["File /f mode=0600", "    text | one"]),
    (File("/f", "a\n\nb\n"), ["File /f", "    text | a", "    text |", "    text | b"]),
    (PackageLists("apt", frozenset({"b", "a"})), ["PackageLists apt releases=a,b"]),
]


@pytest.mark.parametrize(("resource", "lines"), DECLARED, ids=lambda value: str(value))
def test_declared(resource, lines):
    found = list(report.declared([component("part", [resource], needs=("a", "b"))]))
    assert found == ["part (needs a, b)", *(f"  {line}" for line in lines)]


def test_two_declarations_that_differ_read_differently():
    texts = ["a", "a\n", "a\n\n", " a", "a\nb", "a\nb\n", "a\r\nb\n", ""]
    shown = {tuple(report.declared([component("x", [File("/f", t)])])) for t in texts}
    assert len(shown) == len(texts)


def test_modes_are_octal_everywhere():
    (line,) = list(
        report.declared([component("x", [User("u", home="/h", home_mode=0o700)])])
    )[1:]
    assert line == "  User u home=/h home_mode=0700"


# ---- changes


def test_compare_leaves_alone_what_is_none():
    assert compare(a=(1, None), b=(None, 0), c=(1, 1), d=("", "x")) == (
        Change("b", None, 0),
        Change("d", "", "x"),
    )


def test_octal():
    assert [octal(mode) for mode in (None, 0, 0o644, 0o2750)] == [
        None,
        "0000",
        "0644",
        "2750",
    ]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "absent"),
        ("", "empty"),
        ("a\n", "a"),
        ("a\nb\n", "2 lines"),
        (frozenset(), "nobody"),
        (frozenset({"b", "a"}), "a b"),
        (True, "True"),
        (10010, "10010"),
    ],
)
def test_brief(value, words):
    assert brief(value) == words


def test_the_only_line_of_a_program_is_no_command():
    """As of useradd where /etc/group is immutable: nobody is told to try it."""
    words = "groupadd: cannot open /etc/group"
    failed = UserError("`groupadd x` ended with exit status 10", hint=words)
    assert [*report.sentence(failed)] == [str(failed), f"   | {words}"]
    assert [*report.sentence(UserError("x", hint="chattr -ia y"))][
        1
    ] == "   try: chattr -ia y"
