"""Rosters, from tidy to hostile."""

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_server.checkout.rosters import (
    EARLIEST_EXPIRY,
    MAX_LINE,
    Entry,
    check,
    parse,
)
from backend_server.text import names
from backend_server.text.problem import Problem


SAFE = re.compile(r"[A-Za-z0-9](-?[A-Za-z0-9])*")


def entry(name, line=1, expires=None, github_id=None, source="developers"):
    return Entry(name, expires, github_id, source, line)


def said(content):
    """The problems of one roster, as an operator reads them."""
    return [str(problem) for problem in parse("developers", content)[1]]


TIDY = {
    "empty": (b"", []),
    "blank lines": (b"\n\n  \n\t\n", []),
    "comments only": (b"# nobody yet\n  # nobody\n#\n", []),
    "newline at the end": (b"ada\n", [entry("ada")]),
    "no newline at the end": (b"ada\ngrace", [entry("ada"), entry("grace", 2)]),
    "CRLF": (b"ada\r\n\r\ngrace\r\n", [entry("ada"), entry("grace", 3)]),
    "CRLF without the last": (b"ada\r\ngrace\r", [entry("ada"), entry("grace", 2)]),
    "BOM": (b"\xef\xbb\xbfada\n", [entry("ada")]),
    "BOM alone": (b"\xef\xbb\xbf", []),
    "spaces around": (b"  ada  \n\tgrace\t\n", [entry("ada"), entry("grace", 2)]),
    "trailing comment": (
        b"ada # until May\ngrace#x",
        [entry("ada"), entry("grace", 2)],
    ),
    "comment in any language": ("ada # é\u4e2d\n".encode(), [entry("ada")]),
    "expires": (b"ada expires=2027-03-31", [entry("ada", expires=date(2027, 3, 31))]),
    "leap day": (b"ada expires=2028-02-29", [entry("ada", expires=date(2028, 2, 29))]),
    "already over": (
        b"ada expires=2001-01-01",
        [entry("ada", expires=date(2001, 1, 1))],
    ),
    "id": (b"ada id=12345", [entry("ada", github_id=12345)]),
    "both options": (
        b"ada id=7 expires=2027-03-31",
        [entry("ada", expires=date(2027, 3, 31), github_id=7)],
    ),
    "tab separated": (b"ada\tid=7\t# t", [entry("ada", github_id=7)]),
    "the longest line": (b"ada #".ljust(MAX_LINE, b"x"), [entry("ada")]),
}


@pytest.mark.parametrize("case", TIDY)
def test_tidy_rosters_are_read(case):
    content, entries = TIDY[case]
    assert parse("developers", content) == (tuple(entries), ())


HOSTILE = {
    # name
    "33 characters": (b"x" * 33, "has 33 characters"),
    "hyphen first": (b"-x", "hyphen"),
    "an option of useradd": (b"--help", "hyphen"),
    "dots": (b"a..b", "contains '.'"),
    "path": (b"../etc/passwd", "contains '.'"),
    "number": (b"1000", "is a number"),
    "hex": (b"0x10", "is a number"),
    "system account": (b"backup", "is reserved"),
    "option without a name": (b"expires=2027-03-31", "contains '='"),
    "homoglyph": ("\u0430da".encode(), r"'\u0430da' contains '\u0430'"),
    "comma separated": (b"ada,grace", "contains ','"),
    # characters
    "NUL": (b"ada\0", r"the line contains '\x00'"),
    "NUL in a comment": (b"ada # \0", r"the line contains '\x00'"),
    "escape": (b"ada # \x1b[2J", r"the line contains '\x1b'"),
    "form feed": (b"ada\x0cid=7", r"the line contains '\x0c'"),
    "carriage return inside": (b"ada\rgrace", r"the line contains '\r'"),
    "old Mac line ends": (b"ada\rgrace\r", r"the line contains '\r'"),
    "bidi": ("ada # \u202ex".encode(), r"the line contains '\u202e'"),
    "bidi isolate": ("ada\u2066".encode(), r"the line contains '\u2066'"),
    "zero-width space": ("a\u200bda".encode(), r"the line contains '\u200b'"),
    "no-break space": ("ada\u00a0id=7".encode(), r"the line contains '\xa0'"),
    "line separator": ("ada\u2028grace".encode(), r"the line contains '\u2028'"),
    "next line": ("ada\u0085grace".encode(), r"the line contains '\x85'"),
    "BOM inside": (b"ada\xef\xbb\xbf", r"the line contains '\ufeff'"),
    "two BOMs": (b"\xef\xbb\xbf" * 2 + b"ada", r"the line contains '\ufeff'"),
    "invalid UTF-8": (b"ada\xff", "byte 4 of the line is not UTF-8"),
    "overlong UTF-8": (b"ada # \xc0\xaf", "is not UTF-8"),
    "surrogate": (b"ada # \xed\xa0\x80", "is not UTF-8"),
    "UTF-16": ("ada".encode("utf-16"), "is not UTF-8"),
    # size
    "long line": (b"ada #".ljust(MAX_LINE + 1, b"x"), "has 401 bytes; it may have 400"),
    "10 MB line": (b"x" * 10_000_000, "the file has more than"),
    "10 MB of lines": (b"\0\n" * 5_000_000, "the file has more than"),
    # options
    "two names": (b"ada grace", "'grace' does not belong here; a line is one name"),
    "unknown option": (
        b"ada until=2027-03-31",
        "'until=2027-03-31' does not belong here",
    ),
    "upper case option": (b"ada ID=7", "'ID=7' does not belong here"),
    "option without a value": (b"ada id", "id='' is no account number"),
    "sign alone": (b"ada =", "'=' does not belong here"),
    "look-alike option": (
        "ada \u0456d=7".encode(),
        r"'\u0456d=7' does not belong here",
    ),
    "no such day": (b"ada expires=2027-02-30", "expires='2027-02-30' is no date"),
    "no leap year": (b"ada expires=2027-02-29", "is no date"),
    "no date": (b"ada expires=", "expires='' is no date"),
    "not a date": (b"ada expires=never", "is no date"),
    "date without hyphens": (b"ada expires=20270331", "is no date"),
    "week date": (b"ada expires=2027-W13-3", "is no date"),
    "short date": (b"ada expires=2027-3-1", "is no date"),
    "date and time": (b"ada expires=2027-03-31T00:00", "is no date"),
    "day before 1970": (b"ada expires=1969-12-31", "is no date"),
    "other digits": ("ada expires=202\u0667-03-31".encode(), "is no date"),
    "expires twice": (
        b"ada expires=2027-03-31 expires=2027-03-31",
        "does not belong here",
    ),
    "no id": (b"ada id=", "id='' is no account number"),
    "id zero": (b"ada id=0", "is no account number"),
    "padded id": (b"ada id=007", "is no account number"),
    "negative id": (b"ada id=-7", "is no account number"),
    "superscript id": ("ada id=\u00b2".encode(), r"id='\xb2' is no account number"),
    "huge id": (b"ada id=" + b"9" * 19, "is no account number"),
    "id twice": (b"ada id=7 id=7", "'id=7' does not belong here"),
    "two signs": (b"ada id==7", "id='=7' is no account number"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_rosters_are_told_so(case):
    content, found = HOSTILE[case]
    entries, problems = parse("developers", content)
    assert entries == ()
    assert [problem.line for problem in problems] == [1]
    assert found in problems[0].message
    assert str(problems[0]).startswith("developers:1: ")
    assert problems[0].message.isascii()
    assert len(problems[0].message) < 200


def test_a_bad_line_does_not_hide_the_next():
    entries, problems = parse("developers", b"ada\n-x what\n\nbackup\r\ngrace\n")
    assert entries == (entry("ada"), entry("grace", 5))
    assert [problem.line for problem in problems] == [2, 2, 4]


def test_the_same_name_twice_in_one_roster():
    content = b"ada\ngrace\nada expires=2027-03-31\nada\n"
    assert said(content) == [
        "developers:3: 'ada' is already on line 1",
        "developers:4: 'ada' is already on line 1",
    ]
    assert parse("developers", content)[0] == (entry("ada"), entry("grace", 2))


def test_a_duplicate_of_a_bad_line_is_not_taken_instead():
    entries, problems = parse("developers", b"ada id=x\nada\n")
    assert entries == ()
    assert [problem.line for problem in problems] == [1, 2]


def reviewer(name, **fields):
    return entry(name, source="test/reviewers", **fields)


CLASHES = {
    "one person, two rosters": ([entry("ada")], [reviewer("ada")], []),
    "end dates of their own": (
        [entry("ada")],
        [reviewer("ada", expires=date(2027, 3, 31))],
        [],
    ),
    "id given once": ([entry("ada", github_id=7)], [reviewer("ada")], []),
    "id given alike": (
        [entry("ada", github_id=7)],
        [reviewer("ada", github_id=7)],
        [],
    ),
    "case in one roster": (
        [entry("Ada"), entry("ada", 4)],
        [],
        ["developers:4: ada differs only in case from Ada (developers:1)"],
    ),
    "case across rosters": (
        [entry("ada")],
        [reviewer("ADA", line=9)],
        ["test/reviewers:9: ADA differs only in case from ada (developers:1)"],
    ),
    "two ids": (
        [entry("ada", github_id=7)],
        [reviewer("ada", github_id=8)],
        ["test/reviewers:1: ada has id=8, not 7 (developers:1)"],
    ),
    "one id, two people": (
        [entry("ada", github_id=7), entry("grace", 2, github_id=7)],
        [],
        ["developers:2: grace has the id of ada (developers:1)"],
    ),
}


@pytest.mark.parametrize("case", CLASHES)
def test_rosters_are_held_against_each_other(case):
    developers, reviewers, problems = CLASHES[case]
    found = check({"developers": developers, "test/reviewers": reviewers})
    assert [str(problem) for problem in found] == problems


def test_problems_sort_by_file_and_line():
    problems = [Problem("b", 1, "x"), Problem("a", 10, "x"), Problem("a", 2, "x")]
    assert [str(found) for found in sorted(problems)] == ["a:2: x", "a:10: x", "b:1: x"]


# Pieces that mean something to the parser, so that few examples are wasted.
PIECES = st.sampled_from(
    [b"ada", b"Ada", b"grace", b" ", b"\t", b"\n", b"\r\n", b"\r", b"#", b"=", b"-"]
    + [b"expires=", b"2027-03-31", b"id=", b"12", b"\0", b"\xff", b"\xef\xbb\xbf"]
    + ["\u202e".encode(), "\u0430".encode(), b"x" * 33, b"x" * 401]
)
CONTENTS = st.binary() | st.lists(PIECES | st.binary(max_size=3)).map(b"".join)


@given(CONTENTS)
def test_no_bytes_crash_and_nothing_unsafe_gets_through(content):
    entries, problems = parse("developers", content)
    lines = content.count(b"\n") + 1
    for found in entries:
        assert SAFE.fullmatch(found.name)
        assert len(found.name) <= 32
        assert 1 <= found.line <= lines
    for found in problems:
        assert 1 <= found.line <= lines
        assert found.message.isascii()
        assert found.message.isprintable()
    assert len({found.name for found in entries}) == len(entries)
    assert not {found.line for found in entries} & {found.line for found in problems}


NAMES = st.from_regex(SAFE, fullmatch=True).filter(lambda name: not names.problem(name))
PEOPLE = st.lists(
    st.tuples(
        NAMES,
        st.none() | st.dates(min_value=EARLIEST_EXPIRY),
        st.none() | st.integers(1, 10**18 - 1),
    ),
    unique_by=lambda person: person[0],
    max_size=20,
)


@given(PEOPLE, st.sampled_from(["\n", "\r\n", " # comment\n", "\t\n"]))
def test_what_is_written_is_read_back(people, end):
    entries = tuple(
        Entry(name, expires, github_id, "developers", line)
        for line, (name, expires, github_id) in enumerate(people, start=1)
    )
    content = end.join(map(str, entries)).encode()
    assert parse("developers", content) == (entries, ())
