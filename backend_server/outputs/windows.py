"""Names on a Windows server: which of ours it can hold, and how the others are spelt there."""

from __future__ import annotations

import os
import re
from typing import Iterable, Iterator, NamedTuple


# A path there is at most 259 characters long, its drive and folder included.
MAX_PATH = 230
MAX_NAME = 255  # bytes: this side of the mount has no room for more
_LONG = f"is too long for Windows: {MAX_NAME} bytes a name, {MAX_PATH} in all"

# What Windows keeps for itself. Characters in the private area stand for these on a share,
# because mount.cifs(8) puts them there; control characters it refuses.
_RESERVED = re.compile('[\\x00-\\x1f"*:<>?\\\\|\\uf000-\\uf0ff]')
# The first letter of a device's name; NUL.tar.gz is the device, too.
_DEVICE = re.compile(
    r"\A(?=(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|CLOCK\$|(COM|LPT)[0-9¹²³]) *(\.|\Z)).",
    re.IGNORECASE,
)
_LAST = re.compile(r"[. ]\Z")  # cut off there without a word
_SHORT = re.compile(r"~(?=[0-9])")  # TABLE~1.CSV is a second name for tables-2020.csv
_ESCAPE = re.compile(r"%(?=[0-9A-Fa-f]{2})")
_NO_UTF8 = re.compile("[\\udc80-\\udcff]")  # surrogateescape's


def name(ours: str) -> str:
    """How one name is spelt on the server: what it cannot hold is %XX there, byte by byte.

    No two names of ours are spelt alike, and each tells which one it was.
    """
    for pattern in (_ESCAPE, _RESERVED, _NO_UTF8, _SHORT, _LAST, _DEVICE):
        ours = pattern.sub(_escaped, ours)
    return ours


def _escaped(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in os.fsencode(found[0]))


class Spelling(NamedTuple):
    """What a path of ours is on the server, or why it has no place there."""

    path: str
    refused: str = ""


def spelt(paths: Iterable[str]) -> dict[str, Spelling]:
    """Every path by its own; of those that differ only in case, the first has the place.

    Raises nothing: what a workspace holds is its own business, and is to be reported.
    """
    taken: dict[str, str] = {}  # spelling by what Windows tells apart
    return {path: _spelt(path, taken) for path in paths}


def _spelt(path: str, taken: dict[str, str]) -> Spelling:
    parts = path.split("/")
    if not {"", ".", ".."}.isdisjoint(parts) or "\0" in path:
        return Spelling("", "is no path below its workspace")
    try:
        theirs = "/".join(map(name, parts))
        long = max(len(os.fsencode(part)) for part in theirs.split("/"))
    except UnicodeEncodeError:
        return Spelling("", "has a name that is no text")
    if long > MAX_NAME or len(theirs.encode("utf-16-le", "replace")) // 2 > MAX_PATH:
        return Spelling("", _LONG)
    for folded, spelling in _prefixes(theirs):
        other = taken.setdefault(folded, spelling)
        if other != spelling:
            return Spelling("", f"differs only in case from {other}, which is there")
    return Spelling(theirs)


def _prefixes(path: str) -> Iterator[tuple[str, str]]:
    """The path and each folder that it is in, as Windows tells names apart and as spelt."""
    for end in (found.start() for found in re.finditer(r"/|\Z", path)):
        yield folded(path[:end]), path[:end]


def folded(text: str) -> str:
    """The same for names that are one there: NTFS compares capitals, character by character."""
    return "".join(c.upper() if len(c.upper()) == 1 else c for c in text)
