"""The files of accounts, as glibc reads them: glibc itself is asked."""

import ctypes
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend_server.text.parsers import (
    parse_group,
    parse_passwd,
    parse_shadow,
    parse_subids,
)


pytestmark = pytest.mark.share("in force")

LIBC = ctypes.CDLL(None)
NO_ID = 2**32 - 1
examples = settings(max_examples=10_000 if settings().max_examples > 100 else 200)
# __nss_readline() of glibc moves such a line to the left without its end.
LEFT_OVER = re.compile(r"^[ \t\r\v\f]+[^\n]*(\0|\Z)", re.MULTILINE)


class Passwd(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("password", ctypes.c_char_p),
        ("uid", ctypes.c_uint32),
        ("gid", ctypes.c_uint32),
        ("comment", ctypes.c_char_p),
        ("home", ctypes.c_char_p),
        ("shell", ctypes.c_char_p),
    ]


class Group(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("password", ctypes.c_char_p),
        ("gid", ctypes.c_uint32),
        ("members", ctypes.POINTER(ctypes.c_char_p)),
    ]


class Shadow(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("password", ctypes.c_char_p),
        *((day, ctypes.c_long) for day in ("changed", "min", "max", "warn", "inact")),
        ("expires", ctypes.c_long),
        ("flag", ctypes.c_ulong),
    ]


def as_glibc_has_it(text, kind, function):
    """What getpwent(3) and its like would find in such a file, one after the other."""
    read = getattr(LIBC, function)
    read.restype, read.argtypes = ctypes.POINTER(kind), [ctypes.c_void_p]
    LIBC.fmemopen.restype = ctypes.c_void_p
    LIBC.fclose.argtypes = [ctypes.c_void_p]
    data = text.encode("utf-8", "surrogateescape")
    stream = LIBC.fmemopen(data, ctypes.c_size_t(len(data)), b"r")
    try:
        while True:
            found = read(stream)
            if not found:
                return
            yield found.contents
    finally:
        LIBC.fclose(stream)


def text_of(data):
    return data.decode("utf-8", "surrogateescape") if data else ""


def ours(found):
    """What a NIS line gives, and what has no name or the number that stands for none, is nobody's."""
    return found.name and found.name[:1] not in b"+-"


ROOT, ADA = "root:x:0:0:root:/root:/bin/bash\n", "ada:x:1001:1001::/home/ada:/bin/sh\n"
NUMBERS = (
    *(
        "",
        "0",
        "-0",
        "+7",
        " 8",
        "9 ",
        "1001",
        "never",
        "abc",
        "x1",
        "1x",
        "0x10",
        "010",
    ),
    *(
        "4294967294",
        "4294967295",
        "4294967296",
        "-1",
        "99999999999999999999",
        "9" * 5000,
    ),
    *("١", "²", "1_000", "\t5", "--5", "+", "-", "+-1"),
)
WORDS = (
    "ada",
    "gus",
    "x",
    "",
    " ",
    "!",
    "+",
    "-",
    "#",
    "ada,gus",
    " ada, gus,,",
    "a b",
    "%",
    "$x",
)
ODD = ("\udcff", "\0", "\r", "\x0b", "\u2028", "\x85", "\t", ",", "é")
FIELD = st.sampled_from((*NUMBERS, *WORDS, *ODD)) | st.text(
    "ab1,: \t\r\0#+-\udcff", max_size=6
)


def lines(fields):
    """Files of lines that have about so many fields, with what people do to them."""
    line = st.lists(FIELD, max_size=fields + 2).map(":".join)
    good = st.tuples(st.sampled_from(("ada", "gus", "docker", " ada", "+ada")), line)
    whole = st.lists(line | good.map(":".join), max_size=6)
    text = st.builds("{}{}".format, whole.map("\n".join), st.sampled_from(("", "\n")))
    return text.filter(lambda each: each and not LEFT_OVER.search(each))


@given(lines(7))
@examples
def test_passwd(text):
    expected = {}
    for found in as_glibc_has_it(text, Passwd, "fgetpwent"):
        if ours(found) and NO_ID not in (found.uid, found.gid):
            texts = map(text_of, (found.comment, found.home, found.shell))
            entry = (text_of(found.name), found.uid, found.gid, *texts)
            expected.setdefault(entry[0], entry)
    assert {name: tuple(e) for name, e in parse_passwd(text).items()} == expected


@given(lines(4))
@examples
def test_group(text):
    """The first line of a name has its number; initgroups(3) goes by the members of all."""
    numbers, members = {}, {}
    for found in as_glibc_has_it(text, Group, "fgetgrent"):
        if ours(found) and found.gid != NO_ID:
            name, number = text_of(found.name), 0
            numbers.setdefault(name, found.gid)
            members.setdefault(name, set())
            while found.members[number]:
                members[name].add(text_of(found.members[number]))
                number += 1
    parsed = parse_group(text)
    assert {name: entry.gid for name, entry in parsed.items()} == numbers
    assert {name: set(entry.members) for name, entry in parsed.items()} == members


@given(lines(9))
@examples
def test_shadow(text):
    expected = {}
    for found in as_glibc_has_it(text, Shadow, "fgetspent"):
        if ours(found):
            days = (
                None if day == -1 else day for day in (found.expires, found.changed)
            )
            expected.setdefault(text_of(found.name), (text_of(found.password), *days))
    assert {name: tuple(e) for name, e in parse_shadow(text).items()} == expected


@given(lines(3))
@examples
def test_subids(text):
    for owner, first, last in parse_subids(text):
        assert owner
        assert 0 <= first <= last < NO_ID


def test_subids_that_are_there():
    text = "ada:100000:65536\ngus:abc:65536\n1002:200000:65536\nlxd:4294967295:5\nx:5:0\n\n:1:1"
    assert parse_subids(text) == [
        ("ada", 100000, 165535),
        ("1002", 200000, 265535),
    ]


@pytest.mark.parametrize(
    ("parse", "line"),
    [
        (parse_passwd, "legacy:x:::Old account:/home/legacy:/bin/sh"),
        (parse_group, "legacygrp:x::"),
        (parse_shadow, "legacy:*:never:0:99999:7:::"),
    ],
    ids=["passwd", "group", "shadow"],
)
def test_of_a_report(parse, line):
    """fox-it/dissect.target#995, mondoohq/mql#8659, ansible/ansible#71916."""
    good = {
        parse_passwd: ADA,
        parse_group: "ada:x:5:gus\n",
        parse_shadow: "ada:!:1:2:3:4:::\n",
    }
    assert list(parse(f"{line}\n{good[parse]}")) == ["ada"]


def test_short_and_long_lines_count():
    """Such an account can be used, so it must be seen."""
    assert parse_passwd("mallory:x:0:0")["mallory"].uid == 0
    assert parse_passwd("mallory::0:0::/:/bin/sh:x")["mallory"].shell == "/bin/sh:x"
    assert parse_group("docker:x:999:ada, mallory")["docker"].members == {
        "ada",
        "mallory",
    }


def test_the_first_line_of_a_name_counts():
    assert parse_passwd(f"{ADA}ada:x:0:0::/root:/bin/sh\n")["ada"].uid == 1001
    assert parse_shadow("ada:!:1::::::\nada::1::::::\n")["ada"].password == "!"


def test_a_number_that_stands_for_no_account():
    """Daemons have it as their login uid: taken for an account's, all of them would be killed."""
    for number in ("4294967295", "-1", "9" * 30):
        assert parse_passwd(f"gus:x:{number}:5::/home/gus:/bin/sh") == {}
