"""Who is on the lists: roster files as frozen values, or everything wrong with them."""

from __future__ import annotations

from datetime import date
from typing import Iterator, Mapping, Tuple

from backend_server.text import names
from backend_server.text.frozen import Frozen
from backend_server.text.problem import Problem, Problems


# Far above any real roster: what is longer is some other file.
MAX_BYTES = 256 * 1024
MAX_LINE = 400
FORMAT = "a line is one name, then at most one expires=YYYY-MM-DD and one id=NUMBER"

# chage counts days since 1970 and reads -1, the day before that, as "never".
EARLIEST_EXPIRY = date(2000, 1, 1)


class Entry(Frozen):
    """One person on one roster; as a string, the line that says so.

    None: no end date, no GitHub number pinned.
    """

    name: str
    expires: date | None
    github_id: int | None
    source: str
    line: int

    def over(self, today: date) -> bool:
        """Access ends as the day begins, in UTC."""
        return self.expires is not None and self.expires <= today

    def __str__(self) -> str:
        expires = "" if self.expires is None else f" expires={self.expires}"
        github_id = "" if self.github_id is None else f" id={self.github_id}"
        return self.name + expires + github_id


Entries = Tuple[Entry, ...]
People = Mapping[str, Entries]  # by roster


def parse(source: str, content: bytes) -> tuple[Entries, Problems]:
    """What one roster says, and what is wrong with it taken alone."""
    if len(content) > MAX_BYTES:
        return (), (Problem(source, 1, f"the file has more than {MAX_BYTES} bytes"),)
    # Windows editors begin a file with a byte order mark and end lines with CRLF.
    text = content[3:] if content.startswith(b"\xef\xbb\xbf") else content
    firsts: dict[str, Entry] = {}
    good: list[Entry] = []
    problems: list[Problem] = []
    for number, line in enumerate(text.split(b"\n"), start=1):
        entry, messages = _entry(line, source, number)
        if entry is not None:
            first = firsts.setdefault(entry.name, entry)
            if first is not entry:
                messages.append(f"{_shown(entry.name)} is already on line {first.line}")
            elif not messages:
                good.append(entry)
        problems += (Problem(source, number, message) for message in messages)
    return tuple(good), tuple(problems)


def check(rosters: People) -> Iterator[Problem]:
    """What is wrong between entries; a person on several rosters is spelled alike."""
    by_name: dict[str, Entry] = {}
    by_id: dict[int, Entry] = {}
    pinned: dict[str, Entry] = {}
    for entry in (e for entries in rosters.values() for e in entries):
        first = by_name.setdefault(entry.name.lower(), entry)
        if first.name != entry.name:
            # GitHub has one account under both spellings, Linux would have two.
            yield _clash(entry, f"differs only in case from {first.name}", first)
        if entry.github_id is None:
            continue
        pin = pinned.setdefault(entry.name.lower(), entry)
        if pin.github_id != entry.github_id:
            yield _clash(entry, f"has id={entry.github_id}, not {pin.github_id}", pin)
        owner = by_id.setdefault(entry.github_id, entry)
        if owner.name.lower() != entry.name.lower():
            yield _clash(entry, f"has the id of {owner.name}", owner)


def _clash(entry: Entry, what: str, other: Entry) -> Problem:
    message = f"{entry.name} {what} ({other.source}:{other.line})"
    return Problem(entry.source, entry.line, message)


def _entry(line: bytes, source: str, number: int) -> tuple[Entry | None, list[str]]:
    try:
        words = _words(line[:-1] if line.endswith(b"\r") else line)
    except ValueError as wrong:
        return None, [str(wrong)]
    if not words:
        return None, []
    what = names.problem(words[0])
    messages = [] if what is None else [f"{_shown(words[0])} {what}"]
    expires: date | None = None
    github_id: int | None = None
    for option in words[1:]:
        key, _, value = option.partition("=")
        try:
            if key == "expires" and expires is None:
                expires = _expires(value)
            elif key == "id" and github_id is None:
                github_id = _github_id(value)
            else:
                messages.append(f"{_shown(option)} does not belong here; {FORMAT}")
        except ValueError as wrong:
            messages.append(str(wrong))
    return Entry(words[0], expires, github_id, source, number), messages


def _words(line: bytes) -> list[str]:
    """The name and its options, without the comment."""
    if len(line) > MAX_LINE:
        raise ValueError(f"the line has {len(line)} bytes; it may have {MAX_LINE}")
    try:
        text = line.decode("utf-8").replace("\t", " ")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} of the line is not UTF-8") from None
    if not text.isprintable():
        # Comments too: a bidi mark in one makes the whole line lie to its reviewer.
        unseen = ascii(next(found for found in text if not found.isprintable()))
        raise ValueError(f"the line contains {unseen}, which nobody can see; remove it")
    return text.partition("#")[0].split()


def _expires(value: str) -> date:
    try:
        found = date.fromisoformat(value)
    except ValueError:
        found = date.min
    # Newer Pythons also read 20270331 and 2027-W13-3: one spelling on every host.
    if found < EARLIEST_EXPIRY or found.isoformat() != value:
        raise ValueError(f"expires={_shown(value)} is no date like 2027-03-31")
    return found


def _github_id(value: str) -> int:
    plain = value.isascii() and value.isdigit() and not value.startswith("0")
    if not plain or len(value) > 18:
        raise ValueError(f"id={_shown(value)} is no account number like 12345")
    return int(value)


def _shown(text: str) -> str:
    """Short, and safe on any terminal: look-alikes and escapes stand as numbers."""
    return ascii(text if len(text) <= 40 else text[:40] + "...")
