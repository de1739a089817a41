"""What differs between a host and its declaration, as plain data."""

from __future__ import annotations

from typing import FrozenSet, Tuple, Union

from backend_server.text.frozen import Frozen


Value = Union[None, bool, int, str, FrozenSet[str]]


class Change(Frozen):
    """One field of a resource that is not as declared. `before` None means absent."""

    field: str
    before: Value
    after: Value


Changes = Tuple[Change, ...]


def compare(**fields: tuple[Value, Value]) -> Changes:
    """A Change for each field=(found, wanted) that differs; wanted None means leave alone."""
    return tuple(
        Change(field, found, wanted)
        for field, (found, wanted) in fields.items()
        if wanted is not None and found != wanted
    )


def octal(mode: int | None) -> str | None:
    """A file mode as chmod(1) takes it."""
    return None if mode is None else f"{mode:04o}"


def counted(number: int, what: str) -> str:
    """`1 key`, `2 keys`, `3 processes`."""
    plural = what + ("es" if what.endswith("s") else "s")
    return f"{number} {what if number == 1 else plural}"


def brief(value: Value) -> str:
    """A value short enough to stand inside a sentence."""
    if value is None:
        return "absent"
    if isinstance(value, frozenset):
        return " ".join(sorted(value)) or "nobody"
    text = str(value).rstrip("\n")
    lines = text.count("\n") + 1
    return f"{lines} lines" if lines > 1 else text or "empty"
