"""Access control lists: as the kernel has them, as people read them, and made from others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_server.text import acl
from backend_server.text.acl import Entry


# setfacl --no-mask --set on a directory, and what getfattr --encoding=hex then printed.
MADE_BY_SETFACL = {
    "0200000001000700ffffffff020007000a00000004000700ffffffff080007001a270000"
    "10000700ffffffff20000000ffffffff": """
        user::rwx user:10:rwx group::rwx group:10010:rwx mask::rwx other::---""",
    "0200000001000700ffffffff04000500ffffffff080007001a27000010000700ffffffff"
    "20000000ffffffff": "user::rwx group::r-x group:10010:rwx mask::rwx other::---",
    "0200000001000700ffffffff04000500ffffffff20000000ffffffff": """
        user::rwx group::r-x other::---""",
}


def number(name):
    return int(name)


def parsed(text):
    return frozenset(acl.parse(entry, number, number) for entry in text.split())


def shown(entries):
    return {acl.text(entry, str, str) for entry in entries}


@pytest.mark.parametrize("stored", MADE_BY_SETFACL)
def test_what_setfacl_stored(stored):
    text = MADE_BY_SETFACL[stored]
    assert acl.decode(bytes.fromhex(stored)) == parsed(text)
    assert acl.encode(parsed(text)).hex() == stored
    assert shown(parsed(text)) == set(text.split())


ENTRIES = st.builds(
    Entry,
    kind=st.sampled_from(["user", "group"]),
    id=st.none() | st.integers(0, 2**32 - 2),
    permissions=st.integers(0, 7),
) | st.builds(
    Entry,
    kind=st.sampled_from(["mask", "other"]),
    id=st.none(),
    permissions=st.integers(0, 7),
)


@given(st.frozensets(ENTRIES))
def test_encoding_loses_nothing(entries):
    assert acl.decode(acl.encode(entries)) == entries
    assert frozenset(acl.parse(text, number, number) for text in shown(entries)) == (
        entries
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01\x00\x00\x00",
        b"\x02\x00\x00",
        b"\x02\x00\x00\x00\x01",
        b"\x02\x00\x00\x00\x03\x00\x07\x00\xff\xff\xff\xff",
    ],
    ids=["empty", "version 1", "short", "half an entry", "unknown tag"],
)
def test_other_bytes_are_no_list(data):
    with pytest.raises(ValueError, match="access control list"):
        acl.decode(data)


@pytest.mark.parametrize(
    "text",
    ["", "group:reviewers", "group:a:b:rwx", "role::rwx", "user::wrx", "user:a b:rwx"],
)
def test_other_words_are_no_entry(text):
    with pytest.raises(ValueError, match="is no entry"):
        acl.parse(text, number, number)


def test_a_mode_as_a_list():
    assert shown(acl.of_mode(0o102754)) == {"user::rwx", "group::r-x", "other::r--"}


WANTED = parsed("user::rwx group::rwx user:1:rwx group:2:rwx mask::rwx other::---")


@pytest.mark.parametrize(
    ("found", "then"),
    [
        # open(0600) in a directory with the list: the mask shuts everybody out.
        (
            "user::rw- group::rwx user:1:rwx group:2:rwx mask::--- other::---",
            "user::rw- group::rwx user:1:rwx group:2:rwx mask::rwx other::---",
        ),
        # moved in from where there is no list
        (
            "user::r-- group::--- other::r--",
            "user::r-- group::rwx user:1:rwx group:2:rwx mask::rwx other::r--",
        ),
        # entries of others stay
        (
            "user::rw- group::r-- group:9:r-- mask::r-- other::---",
            "user::rw- group::rwx user:1:rwx group:2:rwx group:9:r-- mask::rwx other::---",
        ),
    ],
    ids=["shut by its mask", "without a list", "with others"],
)
def test_widened(found, then):
    assert acl.widened(parsed(found), WANTED) == parsed(then)


def test_a_new_mask_takes_nothing_from_the_group():
    read_only = parsed("user::rwx group::r-x group:2:r-x mask::r-x other::---")
    made = acl.widened(acl.of_mode(0o770), read_only)
    assert {"group::rwx", "mask::rwx"} <= shown(made)


@given(st.integers(0, 0o777), st.frozensets(ENTRIES))
def test_widening_takes_nothing_away_and_touches_neither_owner_nor_other(mode, wanted):
    found = acl.of_mode(mode)
    made = {(e.kind, e.id): e.permissions for e in acl.widened(found, wanted)}
    for entry in found:
        now = made[entry.kind, entry.id]
        assert now & entry.permissions == entry.permissions
        assert entry.kind == "group" or now == entry.permissions
    assert acl.widened(acl.widened(found, wanted), wanted) == acl.widened(found, wanted)


def test_replacing_takes_away_but_touches_neither_owner_nor_other():
    found = parsed("user::r-- group::rwx group:2:rwx group:9:r-- mask::rw- other::r--")
    wanted = parsed("user::rwx group::r-x group:2:r-x mask::rwx other::---")
    then = parsed("user::r-- group::r-x group:2:r-x mask::rwx other::r--")
    assert acl.replaced(found, wanted) == then


def test_a_file_that_is_no_program():
    then = "user::rw- group::rw- user:1:rw- group:2:rw- mask::rw- other::---"
    assert acl.without_execute(WANTED) == parsed(then)
