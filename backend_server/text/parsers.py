"""Text the OS gives us, as frozen values. Pure, so tested with pasted output."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from functools import lru_cache
from typing import Any, Iterator, Mapping, NamedTuple


FIRST_PERSON = 1000  # UID_MIN of login.defs(5): below are the system's own accounts


class PasswdEntry(NamedTuple):
    """A line of passwd(5)."""

    name: str
    uid: int
    gid: int
    comment: str
    home: str
    shell: str


class GroupEntry(NamedTuple):
    """A line of group(5)."""

    name: str
    gid: int
    members: frozenset[str]


def parse_passwd(text: str) -> dict[str, PasswdEntry]:
    """As glibc reads it, like the two below: it passes over bad lines, and a name's first counts."""
    entries: dict[str, PasswdEntry] = {}
    for row in _lines(text, fields=7):
        name, _, uid, gid, *rest = row + [""] * (7 - len(row))
        with suppress(ValueError):
            entries.setdefault(name, PasswdEntry(name, _id(uid), _id(gid), *rest))
    return entries


def parse_group(text: str) -> dict[str, GroupEntry]:
    """Members are those of all lines of a name: initgroups(3) goes through the whole file."""
    entries: dict[str, GroupEntry] = {}
    for row in _lines(text, fields=4):
        name, _, gid, members = row + [""] * (4 - len(row))
        names = frozenset(each.lstrip(BLANKS) for each in members.split(",")) - {""}
        with suppress(ValueError):
            new = GroupEntry(name, _id(gid), names)
            known = entries.get(name, new)
            entries[name] = known._replace(members=known.members | names)
    return entries


def parse_gshadow(text: str) -> dict[str, str]:
    """Password by group: of those lines that gpasswd(1) takes."""
    return {row[0]: row[1] for row in _lines(text, fields=5) if len(row) == 4}


def parse_subids(text: str) -> list[tuple[str, int, int]]:
    """Name or uid, first and last id, of subuid(5) and subgid(5)."""
    ranges = []
    for row in _lines(text, fields=3):
        with suppress(ValueError):
            owner, first, count = row
            start, number = _id(first), _number(count)
            if number:
                ranges.append((owner, start, min(start + number, _NO_ID) - 1))
    return ranges


def parse_getent(text: str) -> frozenset[str]:
    """The names of what getent(1) found in passwd or group, in lower case.

    Directories differ in how they spell a name: NAME, NAME@DOMAIN and DOMAIN\\NAME all count.
    """
    names = {line.partition(":")[0].lower() for line in text.split("\n")} - {""}
    return frozenset(names.union(*(re.split(r"[@\\]", name) for name in names)))


def parse_nsswitch(text: str) -> dict[str, list[str]]:
    """The sources of each database, of nsswitch.conf(5); what to do between them is left out."""
    found = {}
    for line in text.splitlines():
        database, _, sources = line.partition("#")[0].partition(":")
        found[database.strip()] = re.sub(r"\[[^]]*\]", " ", sources).split()
    return found


class ShadowEntry(NamedTuple):
    """A line of shadow(5): `!` first means locked, an empty password means open to all."""

    password: str
    expires: int | None  # days since 1970 from which the account is shut
    changed: int | None = None  # the day its password was last; 0: must be changed

    @property
    def never_set(self) -> bool:
        """As useradd leaves it: nobody has chosen a password yet."""
        return self.password == "!"

    @property
    def locked(self) -> bool:
        """Shut by somebody, with or without a password behind it."""
        return self.password.startswith(("!", "*")) and not self.never_set


def parse_shadow(text: str) -> dict[str, ShadowEntry]:
    """The last field may be missing, and in an old form all after the fifth."""
    entries: dict[str, ShadowEntry] = {}
    for row in _lines(text, fields=9):
        if len(row) == 6 and not row[5].strip(BLANKS):
            row[5:] = ["", "", "", ""]
        if len(row) == 9 or (len(row) in (5, 8) and row[-1]):
            with suppress(ValueError):
                days = map(_day, row[2:] + [""] * (9 - len(row)))
                changed, _, _, _, _, expires, _ = days
                entries.setdefault(row[0], ShadowEntry(row[1], expires, changed))
    return entries


BLANKS = " \t\r\v\f"
_DIGITS = re.compile(rf"[{BLANKS}]*([+-]?)([0-9]+)")
_NO_ID = 2**32 - 1  # chown(2) and the kernel's loginuid mean nobody by it


def _number(field: str) -> int:
    """By strtoul(3). Raises ValueError for what is no number."""
    found = _DIGITS.fullmatch(field)
    if not found:
        raise ValueError(field)
    number = int(found[2].lstrip("0")[:21] or "0")
    signed = -number if found[1] == "-" else number
    return signed % 2**64 if number < 2**64 else 2**64 - 1


def _id(field: str) -> int:
    number = _number(field)
    if number >= _NO_ID:
        raise ValueError(field)
    return number


def _day(field: str) -> int | None:
    number = _number(field) if field else _NO_ID
    if number > _NO_ID:
        raise ValueError(field)
    day = number - 2**32 if number >= 2**31 else number
    return None if day == -1 else day


def _lines(text: str, fields: int) -> Iterator[list[str]]:
    """Lines that have a name, of no more fields; NIS lines (+name) are nobody's.

    Split at newlines alone: users choose part of their line, and U+2028 must not hide it.
    """
    for line in text.split("\n"):
        row = line.partition("\0")[0].lstrip(BLANKS).split(":", fields - 1)
        if row[0] and row[0][0] not in "+-#":
            yield row


class PackageState(NamedTuple):
    """What dpkg says of a package: `want flag status` of dpkg-query(1)."""

    installed: bool
    held: bool
    configured: bool  # its configuration is there, even where it is not installed
    whole: bool  # not left half-installed, unpacked or waiting for triggers
    half: bool = False  # of its files some are not there


# As dpkg writes them. What begins with plain text is found five times sooner.
_PACKAGE = re.compile(
    r"\nPackage: (\S+)(?:\n(?:Essential|Protected|Important): yes)*"
    r"\nStatus: (\S+) (\S+) (\S+)(?=\n)"
)


@lru_cache(maxsize=None)  # of a thousand packages, few differ
def _state(want: str, flag: str, status: str) -> PackageState:
    return PackageState(
        installed=status == "installed" and flag == "ok",
        held=want == "hold",
        configured=status != "not-installed",
        whole=status in ("installed", "config-files", "not-installed"),
        half=status == "half-installed" or flag != "ok",
    )


def parse_dpkg_status(text: str) -> dict[str, PackageState]:
    """State by package name, of /var/lib/dpkg/status. Installed on one architecture is enough."""
    packages: dict[str, PackageState] = {}
    for name, want, flag, status in _PACKAGE.findall(f"\n{text}\n"):
        state = _state(want, flag, status)
        known = packages.get(name)
        packages[name] = known if known and known.installed else state
    return packages


def parse_assignments(text: str) -> dict[str, str]:
    """NAME=value lines with optional quotes, as in os-release(5); comments are skipped."""
    pairs = (line.strip().partition("=") for line in text.splitlines())
    return {
        name: value.strip("\"'")
        for name, equals, value in pairs
        if equals and not name.startswith("#")
    }


def parse_units(text: str) -> dict[str, Mapping[str, str]]:
    """Properties by unit name, from `systemctl show`: one paragraph a unit, with its Id and Names."""
    units: dict[str, Mapping[str, str]] = {}
    for paragraph in text.strip().split("\n\n"):
        shown: dict[str, str] = {}
        for name, _, value in (line.partition("=") for line in paragraph.splitlines()):
            # What there are several of, as a socket's addresses, has a line for each.
            shown[name] = f"{shown[name]} {value}" if name in shown else value
        for name in {shown.get("Id", ""), *shown.get("Names", "").split()}:
            units[name] = shown
    return units


def parse_unit_list(text: str) -> dict[str, tuple[str, str]]:
    """LoadState and ActiveState by name, from `systemctl list-units`; some lines have a bullet.

    A timer that will not come again is `elapsed`, which systemd calls its SubState.
    """
    words = ([w for w in line.split() if w[1:]] for line in text.splitlines())
    return {
        name: (load, sub if sub == "elapsed" else active)
        for name, load, active, sub, *_ in words
    }


def parse_hosts(text: str) -> dict[str, str]:
    """Address by name, of hosts(5); the first line that has a name decides."""
    addresses: dict[str, str] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        for name in names:
            addresses.setdefault(name, address)
    return addresses


def parse_nft(text: str) -> dict[str, tuple[Mapping[str, Any], ...]]:
    """Each table of what nft(8) lists as JSON, less what differs from one load of it to the next.

    Handles count up, sets are listed in an order of their own, and what a rule adds to one came
    with packets.
    """
    tables: dict[str, tuple[Mapping[str, Any], ...]] = {}
    filled = set(_ADDED_TO.findall(text))  # nft 1.0 lists no `dynamic`
    for each in json.loads(text)["nftables"] if text else ():
        (what,) = each.values()
        name = what.get("table", what.get("name"))
        if what.get("name") in filled:
            what.pop("elem", None)
        tables[name] = (*tables.get(name, ()), _settled(each))
    return tables


_ADDED_TO = re.compile(r'"set": *"@([^"]+)"')


def _settled(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: _settled(each) for key, each in value.items() if key != "handle"}
        for key in ("set", "elem"):
            if isinstance(kept.get(key), list):
                kept[key] = sorted(kept[key], key=repr)
        return kept
    return [_settled(each) for each in value] if isinstance(value, list) else value


def parse_mount_points(text: str) -> dict[str, frozenset[str]]:
    """Of /proc/PID/mountinfo, with the options of each mount, of the upper one where two are.

    Those with blanks in them are spelt in octal, as there.
    """
    rows = (line.split(" ") for line in text.split("\n"))
    return {row[4]: frozenset(row[5].split(",")) for row in rows if row[5:]}


def parse_mount_sources(text: str) -> dict[str, tuple[str, str]]:
    """Device, and folder on it, by mount point, of /proc/PID/mountinfo; of the upper one of two."""
    rows = (line.split(" ") for line in text.split("\n"))
    return {row[4]: (row[2], row[3]) for row in rows if row[5:]}


# Whoever may mount by FUSE chooses a name of which the kernel spells no more than ASCII's blanks.
_MOUNT = re.compile(r"(?m)^[0-9]+ [0-9]+ ([0-9]{1,9}):([0-9]{1,9}) .* - ([^ \n]+) ")


def parse_mounts(text: str) -> dict[tuple[int, int], str]:
    """The kind of file system by device, major and minor, of /proc/PID/mountinfo."""
    rows = _MOUNT.findall(text)
    return {(int(major), int(minor)): kind for major, minor, kind in rows}
