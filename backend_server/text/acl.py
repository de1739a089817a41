"""POSIX access control lists, acl(5), as frozen values."""

from __future__ import annotations

import re
import struct
from typing import Callable, FrozenSet, NamedTuple, Optional, Tuple


# Extended attributes in which the kernel keeps them.
ACCESS = "system.posix_acl_access"
DEFAULT = "system.posix_acl_default"

READ, WRITE, EXECUTE = 4, 2, 1


class Entry(NamedTuple):
    """What one class of people may do. Without an id: the owner, the owning group, or all."""

    kind: str  # user, group, mask or other
    id: int | None
    permissions: int


Acl = FrozenSet[Entry]

_VERSION = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")
_NO_ID = 0xFFFFFFFF
# The kernel wants entries in the order of these tags, and named ones by id.
_TAGS = {
    0x01: ("user", False),
    0x02: ("user", True),
    0x04: ("group", False),
    0x08: ("group", True),
    0x10: ("mask", False),
    0x20: ("other", False),
}
_TAG_OF = {kind_and_named: tag for tag, kind_and_named in _TAGS.items()}


def decode(data: bytes) -> Acl:
    """The list in the form of an extended attribute. Raises ValueError for any other form."""
    head = data[: _VERSION.size]
    if head != _VERSION.pack(2) or (len(data) - len(head)) % _ENTRY.size:
        raise ValueError(f"{data.hex()} is no access control list of version 2")
    entries = set()
    for tag, permissions, number in _ENTRY.iter_unpack(data[len(head) :]):
        if tag not in _TAGS:
            raise ValueError(f"{tag:#x} is no kind of entry of an access control list")
        kind, named = _TAGS[tag]
        entries.add(Entry(kind, number if named else None, permissions))
    return frozenset(entries)


def encode(acl: Acl) -> bytes:
    """The list as the kernel takes it."""
    rows = sorted(
        (
            _TAG_OF[entry.kind, entry.id is not None],
            _NO_ID if entry.id is None else entry.id,
            entry.permissions,
        )
        for entry in acl
    )
    packed = (_ENTRY.pack(tag, permissions, id_) for tag, id_, permissions in rows)
    return _VERSION.pack(2) + b"".join(packed)


def of_mode(mode: int) -> Acl:
    """What a file's mode alone says."""
    kinds = (("user", 6), ("group", 3), ("other", 0))
    return frozenset(Entry(kind, None, mode >> shift & 7) for kind, shift in kinds)


# ---- text, as getfacl(1) has it: `group:reviewers:r-x`

_TEXT = r"(user|group|mask|other):([^:,\s]*):([r-][w-][x-])"


def parse(text: str, uid: Callable[[str], int], gid: Callable[[str], int]) -> Entry:
    """An entry; `uid` and `gid` say whose name it is. Raises ValueError for what is none."""
    found = re.fullmatch(_TEXT, text)
    if found is None:
        raise ValueError(f"{text!r} is no entry such as `group:reviewers:r-x`")
    kind, name, letters = found.groups()
    bits = (READ, WRITE, EXECUTE)
    permissions = sum(bit for bit, on in zip(bits, letters) if on != "-")
    if not name:
        return Entry(kind, None, permissions)
    return Entry(kind, (uid if kind == "user" else gid)(name), permissions)


def text(entry: Entry, user: Callable[[int], str], group: Callable[[int], str]) -> str:
    """The entry for people to read; `user` and `group` say whose number it is."""
    name = ""
    if entry.id is not None:
        name = (user if entry.kind == "user" else group)(entry.id)
    return f"{entry.kind}:{name}:{letters(entry.permissions)}"


def letters(permissions: int) -> str:
    """`r-x` and the like."""
    bits = (READ, WRITE, EXECUTE)
    return "".join(c if permissions & bit else "-" for c, bit in zip("rwx", bits))


# ---- lists made from others

_Key = Tuple[str, Optional[int]]


def widened(found: Acl, wanted: Acl) -> Acl:
    """What was found and, for all but the owner and `other`, what is wanted besides."""
    permissions = _by_key(found)
    for key, more in _by_key(wanted).items():
        if key not in _OWNERS_OWN:
            permissions[key] = permissions.get(key, 0) | more
    mask = permissions.get(("mask", None))
    if mask is not None and ("mask", None) not in _by_key(found):
        # A list without a mask has none of what the mask would now take from its group.
        permissions["mask", None] = mask | _by_key(found).get(("group", None), 0)
    return _from_keys(permissions)


def replaced(found: Acl, wanted: Acl) -> Acl:
    """What is wanted, save that the owner and `other` keep what was found."""
    kept = {key: p for key, p in _by_key(found).items() if key in _OWNERS_OWN}
    return _from_keys({**_by_key(wanted), **kept})


def without_execute(acl: Acl) -> Acl:
    """The same for a file that is no program."""
    return frozenset(e._replace(permissions=e.permissions & ~EXECUTE) for e in acl)


_OWNERS_OWN = {("user", None), ("other", None)}


def _by_key(acl: Acl) -> dict[_Key, int]:
    return {(entry.kind, entry.id): entry.permissions for entry in acl}


def _from_keys(permissions: dict[_Key, int]) -> Acl:
    return frozenset(Entry(kind, id_, p) for (kind, id_), p in permissions.items())
