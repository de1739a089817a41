"""Every rule of what may become an account, with names on both sides of it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_server.text.names import RESERVED, RESERVED_PREFIXES, problem


SAFE = re.compile(r"[A-Za-z0-9](-?[A-Za-z0-9])*")

GOOD = [
    "ada",
    "Ada",
    "a",
    "grace-h-1",
    "1ada",
    "0xyz",
    "0o8",
    "1e5",
    "deadbeef",
    "x" * 32,
    "rooty",
    "backups",
    "opensafelyada",
    "systemda",
]

BAD = {
    "is empty": [""],
    "contains": [
        "a b",
        " ada",
        "ada ",
        "ada\t",
        "ada\r",
        "ada\n",
        "ada\0",
        "a..b",
        ".",
        "..",
        "a/b",
        "a:b",
        "a,b",
        "a_b",
        "_apt",
        "ada$",
        "+ada",
        "~ada",
        "a@b",
        "a*b",
        "%sudo",
        "\u0430da",  # Cyrillic a
        "ada\u0301",  # combining accent
        "\u202eada",  # right-to-left override
        "a\u200bda",  # zero-width space
        "\uff41da",  # fullwidth a
        "ad\u0131",  # dotless i, which is I in upper case
        "\u0663\u0664",  # Arabic digits, which str.isdigit takes
        "\udc80",
    ],
    "begins or ends with a hyphen": ["-x", "x-", "-", "--", "--help", "-rf"],
    "two hyphens": ["a--b", "a---b"],
    "has 33 characters": ["x" * 33, "1" * 33],
    "has 39 characters": ["x" * 39],
    "is a number": ["0", "7", "1000", "010", "0x1f", "0X1F", "0x10", "0xada", "0o17"]
    + ["0x", "0O7", "9" * 32],
    "is reserved": [
        "root",
        "Root",
        "backup",
        "games",
        "proxy",
        "docker",
        "sudo",
        "adm",
        "ubuntu",
        "nobody",
        "syslog",
        "systemd-network",
        "systemd-anything",
        "messagebus",
        "sshd",
        "xrdp",
        "lxd",
        "www-data",
        "opensafely",
        "opensafely-people",
        "opensafely-release",
        "developers",
        "Reviewers",
        "researchers",
        "ALL",
    ],
}


@pytest.mark.parametrize("name", GOOD)
def test_good_names_have_no_problem(name):
    assert problem(name) is None


@pytest.mark.parametrize(
    ("found", "name"), [(found, name) for found in BAD for name in BAD[found]]
)
def test_bad_names_are_told_what_was_found_and_what_is_wanted(found, name):
    said = problem(name)
    assert said is not None
    assert said.startswith(("is ", "has ", "contains ", "begins "))
    assert found in said
    assert "; " in said


def test_a_message_is_safe_on_a_terminal():
    assert problem("a\x1b[2Jb") == (
        r"contains '\x1b'; only ASCII letters, digits and hyphens may be used"
    )


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_the_reserved_list_holds_only_names_it_alone_refuses(name):
    assert name == name.lower()
    assert SAFE.fullmatch(name)
    assert not name.startswith(RESERVED_PREFIXES)
    assert "is reserved" in (problem(name) or "")
    assert problem(name.upper()) == problem(name)


def names():
    return st.text() | st.text("aZ09x-", max_size=40)


@given(names())
def test_every_accepted_name_is_safe(name):
    if problem(name) is None:
        assert SAFE.fullmatch(name)
        assert len(name) <= 32
        assert not name.isdigit()
        assert name.lower() not in RESERVED


@given(names())
def test_what_is_wrong_is_one_printable_line(name):
    said = problem(name)
    assert said is None or (said.isascii() and said.isprintable())
