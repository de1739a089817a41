"""A table as output checkers look at it: why it is held back, and what in it points to people."""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
from typing import Iterator, List, Tuple

from backend_server.engine import counted


_ROWS = 5000
_COLUMNS = 200  # so many are looked at
_CELLS = 100_000  # and so many, from the top
_HEADER = 1 << 16  # bytes
_SAID = 20  # lines of one table
_COUNTS = {
    *("n", "num", "number", "count", "counts", "total", "totals", "frequency", "freq"),
    *("numerator", "denominator", "patients", "people", "persons", "events", "deaths"),
}
_EXTREMES = {"min", "minimum", "max", "maximum"}

Table = List[Tuple[int, List[str]]]  # each row that is not empty, with its number


def refusal(path: str, data: bytes) -> str:
    """Why the agent would hold it back; its type is that of what the agent did not."""
    if not data.strip():
        return "is empty, and nothing empty is ever released"
    if not _is_table(path):
        return ""
    try:
        (_, header), *rows = _table(data)
    except (ValueError, csv.Error) as error:
        return f"cannot be read as a table: {error!a}"
    if _names_patients(header):
        return "has a column patient_id"
    return f"has more than {_ROWS} rows" if len(rows) > _ROWS else ""


def has_patients(path: str, data: bytes) -> bool:
    """Whether it is a table by patient; one whose first row cannot be read is where the word stands there."""
    text = data[:_HEADER].decode("utf-8-sig", "replace")
    try:
        header = next(filter(None, csv.reader(io.StringIO(text, newline=""))), [])
    except csv.Error:
        header = ["patient_id"] if "patient_id" in text.lower() else []
    return _is_table(path) and _names_patients(header)


def points(path: str, data: bytes, made: bytes | None = None) -> list[str]:
    """What a checker may want to look at, by row and column, without the numbers; the first row is 1.

    Of a change of what its job made, what goes beyond redaction, too. What it finds may be
    harmless, and it finds little: no line is no approval.
    https://docs.opensafely.org/outputs/sdc/
    """
    if not _is_table(path):
        return []
    try:
        table = _table(data)
        found = _beyond(_table(made), table) if made is not None else iter(())
        some = table[: 2 + _CELLS // min(_COLUMNS, max(1, len(table[0][1])))]
        lines = [*itertools.islice(itertools.chain(found, _of(some)), _SAID + 1)]
    except (ValueError, LookupError, csv.Error):
        return ["it cannot be read as a table"]
    return [*lines[:_SAID], *(["and more"] if lines[_SAID:] else [])]


def _names_patients(header: list[str]) -> bool:
    return "patient_id" in (each.strip().lower() for each in header)


def _is_table(path: str) -> bool:
    return path.lower().endswith(".csv")


def _table(data: bytes) -> Table:
    """No more rows than it takes to see that there are too many. Raises ValueError, or csv.Error."""
    text = io.StringIO(data.decode("utf-8-sig"), newline="")
    rows = (each for each in enumerate(csv.reader(text), 1) if each[1])
    return [*itertools.islice(rows, _ROWS + 2)]


def _of(table: Table) -> Iterator[str]:
    (_, header), *rows = table
    for column, name in enumerate(header[:_COLUMNS]):
        words = {*re.split(r"[\W\d_]+", name.lower())}
        found = [(n, _number(row[column])) for n, row in rows if column < len(row)]
        numbers = [(n, value) for n, value in found if value is not None]
        if words & _COUNTS:
            for n, value in numbers:
                if 1 <= value <= 7:
                    yield f"{_cell(n, name)}: a count of 1 to 7, which is redacted"
            counts = [value for _, value in numbers]
            if not (all(map(_five, counts)) or all(map(_midpoint, counts))):
                yield f"column {name[:60]!a}: counts that are rounded neither to 5 nor to midpoint 6"
        if words & _EXTREMES and numbers:
            yield f"column {name[:60]!a}: a minimum or maximum, which may be one person's"


def _beyond(made: Table, now: Table) -> Iterator[str]:
    """What is changed into something other than a mark or a rounding."""
    (_, before), *_ = made
    (_, header), *_ = now
    more = len(now) - len(made), len(header) - len(before)
    for what, number in zip(("row", "column"), more):
        if number:
            how = "more" if number > 0 else "fewer"
            yield f"{counted(abs(number), what)} {how} than its job made"
    if any(more):  # what was beside what is not known
        return
    most = 1 + _CELLS // max(1, len(header[:_COLUMNS]))
    for (_, old), (n, new) in itertools.islice(zip(made, now), most):
        for name, was, value in zip(header[:_COLUMNS], old, new):
            if was != value and not _redacts(_number(was), _number(value)):
                yield f"{_cell(n, name)}: another number, which is no mark and no rounding"


def _cell(row: int, name: str) -> str:
    return f"row {row}, column {name[:60]!a}"


def _number(cell: str) -> float | None:
    try:
        value = float(cell.replace(",", ""))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _five(count: float) -> bool:
    return count % 5 == 0


def _midpoint(count: float) -> bool:
    """0, 3, 9, 15 …: each the middle of six numbers."""
    return count == 0 or count % 6 == 3


def _redacts(was: float | None, value: float | None) -> bool:
    """By a word, or to fewer digits, to 5, or to midpoint 6."""
    if was is None or value is None:
        return value is None
    apart = abs(was - value)
    halves = (was * (1 - 1e-9), was * (1 + 1e-9))  # which are rounded up, or down
    near = any(round(each, n) == value for each in halves for n in range(-9, 10))
    return near or apart <= 5 and _five(value) or apart <= 3 and _midpoint(value)
