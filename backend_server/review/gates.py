"""Whether an edit may stand beside the output it was made of, and what a person should look at. Pure."""

from __future__ import annotations

import csv
import io
import re
from typing import Iterator, List, NamedTuple


ROWS = 5000
_TYPES = (
    "csv",
    "txt",
    "json",
    "md",
    "html",
    "svg",
    "svgz",
    "png",
    "jpg",
    "jpeg",
    "log",
)
_COUNTS = re.compile(
    r"(?i)(^|_)(n|num|count|counts|total|freq|frequency|numerator)(_|$)"
)
_EXTREMES = re.compile(r"(?i)(^|_)(min|max|minimum|maximum)(_|$)")
_MARK = "[REDACTED]"
_SHOWN = 20  # of what is to be looked at in one file

Table = List[List[str]]


class Judged(NamedTuple):
    """`refused` is empty where it may stand there."""

    refused: str = ""
    rows: int | None = None
    columns: int | None = None
    notes: tuple[str, ...] = ()


def judged(path: str, made: bytes, changed: bytes) -> Judged:
    """By the agent's own rules; MADE is what the job made of it."""
    kind = path.rpartition(".")[2].lower()
    if kind not in _TYPES:
        return Judged(
            f"is of a type that is never released; wanted {', '.join(_TYPES)}"
        )
    if not changed.strip():
        return Judged("is empty, and nothing empty is ever released")
    if kind != "csv":
        return Judged()
    try:
        table = _table(changed)
    except (ValueError, csv.Error) as error:
        return Judged(f"cannot be read as a table: {error!a}")
    header = table[0] if table else []
    if "patient_id" in (each.strip().lower() for each in header):
        return Judged("has a column patient_id")
    if len(table) - 1 > ROWS:
        return Judged(f"has more than {ROWS} rows")
    notes = (*_beyond(_lenient(made), table), *_pointed(table))
    more = (f"and {len(notes) - _SHOWN} more",) if len(notes) > _SHOWN else ()
    return Judged("", len(table) - 1, len(header), notes[:_SHOWN] + more)


def _table(data: bytes) -> Table:
    text = data.decode("utf-8-sig")
    return [row for row in csv.reader(io.StringIO(text, newline="")) if row]


def _lenient(data: bytes) -> Table:
    try:
        return _table(data)
    except (ValueError, csv.Error):
        return []


def _beyond(made: Table, changed: Table) -> Iterator[str]:
    """What is more than a redaction: a cell may become a mark, nothing, or a rounded number."""
    if len(made) != len(changed):
        yield f"has {len(changed)} lines where the job made {len(made)}"
        return
    for number, (before, after) in enumerate(zip(made, changed), 1):
        if len(before) != len(after):
            yield f"line {number} has {len(after)} cells where the job made {len(before)}"
        for column, (old, new) in enumerate(zip(before, after), 1):
            if old != new and not _redacted(old, new):
                yield f"line {number}, cell {column} was changed to what is no mark and no rounding"


def _redacted(old: str, new: str) -> bool:
    was, now = _number(old), _number(new)
    if was is None or now is None:
        return now is None and (not new.strip() or new.strip() == _MARK)
    return abs(was - now) <= 5 and (now % 5 == 0 or now % 6 == 3)


def _pointed(table: Table) -> Iterator[str]:
    """What OpenSAFELY's output checkers look for; it says where, and never that all is well."""
    header = table[0] if table else []
    for column, name in enumerate(header):
        if _EXTREMES.search(name.strip()):
            yield f"column {name!a} may hold minimum or maximum values of single people"
        if not _COUNTS.search(name.strip()):
            continue
        for number, row in enumerate(table[1:], 2):
            found = _number(row[column]) if column < len(row) else None
            if found is None or found == 0:
                continue
            where = f"line {number}, column {name!a}"
            if found <= 7:
                yield f"{where}: a count of 7 or less is to be redacted"
            elif found % 5 and found % 6 != 3:
                yield f"{where}: a count is to be rounded to the nearest 5, or midpoint 6"


def _number(text: str) -> float | None:
    try:
        return float(text.strip().replace(",", ""))
    except ValueError:
        return None
