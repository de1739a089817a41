"""Names that a Windows server can hold: which are spelt otherwise, and that nothing is lost by it."""

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_server.outputs import windows


SPELT = {
    "output.csv": "output.csv",
    "Œuvre – final (2).csv": "Œuvre – final (2).csv",
    "a:b.csv": "a%3Ab.csv",
    'q"*<>?|.csv': "q%22%2A%3C%3E%3F%7C.csv",
    "back\\slash": "back%5Cslash",
    "line\nbreak\x01": "line%0Abreak%01",
    "CON": "%43ON",
    "nul.txt": "%6Eul.txt",
    "Com1.tar.gz": "%43om1.tar.gz",
    "LPT¹": "%4CPT¹",
    "aux .csv": "%61ux .csv",
    "CONSOLE.csv": "CONSOLE.csv",
    "COM10": "COM10",
    "ends.": "ends%2E",
    "ends..": "ends.%2E",
    "ends ": "ends%20",
    "...": "..%2E",
    ".hidden": ".hidden",
    "50%.csv": "50%.csv",
    "50%25.csv": "50%2525.csv",
    "%41": "%2541",
    "TABLE~1.CSV": "TABLE%7E1.CSV",
    "draft~": "draft~",
    "\uf03a": "%EF%80%BA",  # what the mount would show as a colon
    os.fsdecode(b"latin-\xe9"): "latin-%E9",
}


def original(theirs):
    """The name of ours that is spelt so on the server."""
    byte = re.compile(rb"%([0-9A-Fa-f]{2})")
    return os.fsdecode(byte.sub(lambda x: bytes([int(x[1], 16)]), os.fsencode(theirs)))


@pytest.mark.parametrize(("ours", "theirs"), SPELT.items(), ids=map(ascii, SPELT))
def test_spelling_and_back(ours, theirs):
    assert windows.name(ours) == theirs
    assert original(theirs) == ours


NAMES = st.one_of(
    st.binary(min_size=1, max_size=60).filter(lambda b: not {0, ord("/")} & {*b}),
    st.text("%0aA4.~: CONUL1", min_size=1, max_size=12).map(str.encode),
).map(os.fsdecode)
HELD = re.compile(r'[^\x00-\x1f"*/:<>?\\|]*[^\x00-\x1f"*/:<>?\\|. ]')


@given(NAMES)
def test_any_name_can_be_held_and_told_again(ours):
    theirs = windows.name(ours)
    assert HELD.fullmatch(theirs)
    assert not re.match(r"(?i)(con|prn|aux|nul|com\d|lpt\d) *(\.|$)", theirs)
    assert not re.search(r"~\d", theirs)
    theirs.encode()  # is text
    assert original(theirs) == ours


@given(NAMES, NAMES)
def test_no_two_are_spelt_alike(one, other):
    assert (one == other) == (windows.name(one) == windows.name(other))


def refused(*paths):
    return {p: s.refused for p, s in windows.spelt(paths).items() if s.refused}


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("ws/../../etc/shadow", "is no path"),
        ("/etc/shadow", "is no path"),
        ("ws//a", "is no path"),
        ("ws/./a", "is no path"),
        ("", "is no path"),
        ("ws/a\0b", "is no path"),
        ("ws/\ud800", "no text"),
        ("ws/" + "é" * 128, "too long"),
        ("ws/" + ":" * 86, "too long"),
        ("ws/" + "a/" * 114 + "ab", "too long"),
    ],
)
def test_what_has_no_place_there_is_said(path, why):
    assert why in refused(path)[path]


def test_longest_that_are_taken():
    assert not refused("ws/" + "a" * 227, "w/" + "a/" * 113 + "ab")


def test_of_those_that_differ_only_in_case_the_first_has_the_place():
    found = refused("ws/Out/a", "ws/out/b", "ws/Out/A", "ws/Out/É", "ws/Out/é", "ws/x")
    assert {*found} == {"ws/out/b", "ws/Out/A", "ws/Out/é"}
    assert "only in case from ws/Out," in found["ws/out/b"]
    assert not refused("ws/Out/a", "other/out/a")
    assert not refused("ws/straße", "ws/strasse")
