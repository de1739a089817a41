"""What a run has to say, for people and for programs."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from typing import Iterable, Iterator, Mapping

from backend_server.engine.engine import Component, Outcome
from backend_server.engine.resource import Resource
from backend_server.text.change import Change, Changes, Value, brief, octal
from backend_server.text.errors import OutsideWorld, Refused, UserError


_PAINT = {"added": "32", "changed": "33", "removed": "31", "failed": "31;1"}
_GLYPHS = {"added": "+", "changed": "~", "removed": "-"}


def kind(outcome: Outcome) -> str:
    """One word for what became of a resource; `same` where it was as declared."""
    if outcome.error:
        if isinstance(outcome.error, OutsideWorld):
            return "degraded"
        return "refused" if isinstance(outcome.error, Refused) else "failed"
    if not outcome.reached:
        return "not reached"
    if not outcome.changes:
        return "same"
    if all(change.after is None for change in outcome.changes):
        return "removed"
    return "added" if all(c.before is None for c in outcome.changes) else "changed"


class Text:
    """Lines for a person: components as headings, and only what is not as declared."""

    def __init__(
        self,
        *,
        colour: bool = False,
        whole: bool = False,
        short: tuple[str, ...] = ("added",),
    ) -> None:
        self.colour = colour
        self.whole = whole  # show the text of new files, not only its length
        self.short = short  # of these kinds all is on one line
        self._heading = ""
        self._unreached = ""  # the component that has said so

    def lines(self, outcome: Outcome) -> Iterator[str]:
        what, part = kind(outcome), outcome.component
        if what == "same" or what == "not reached" and part == self._unreached:
            return
        if part != self._heading:
            self._heading = part
            yield part
        glyph = _GLYPHS.get(what, f"{what}:")
        short = what in self.short
        rest = _brief(outcome) if short else ""
        if what == "not reached":
            self._unreached, rest = part, " and what comes after it"
        yield self._painted(f"  {glyph} {outcome.resource}{rest}", what)
        for change in outcome.changes:
            if not short or (self.whole and _is_long(change.after)):
                yield from (f"      {line}" for line in self._change(change))
        if outcome.error:
            yield from (f"      {line}" for line in sentence(outcome.error))

    def _change(self, change: Change) -> Iterator[str]:
        before, after = change.before, change.after
        if _is_long(before) or _is_long(after):
            yield f"{change.field}:"
            yield from (f"  {line}" for line in _diff(before, after))
        elif isinstance(after, frozenset):
            yield f"{change.field}: {_difference(before, after)}"
        elif _shown(before) == _shown(after):  # only white space differs
            yield f"{change.field}: {before!r} -> {after!r}"
        else:
            yield f"{change.field}: {_shown(before)} -> {_shown(after)}"

    def _painted(self, line: str, what: str) -> str:
        code = _PAINT.get(what, "31;1")
        return f"\033[{code}m{line}\033[0m" if self.colour else line


def _brief(outcome: Outcome) -> str:
    """What is new about something new, or was about something gone, without repeating its name."""
    values = (
        (c.field, c.before if c.after is None else c.after) for c in outcome.changes
    )
    shown = (
        f"{field} {brief(value)}"
        for field, value in values
        if value != getattr(outcome.resource, outcome.resource._fields[0])
    )
    return "".join(f", {printable(words)}" for words in shown)


def sentence(error: UserError) -> Iterator[str]:
    """An error and what to do next, as lines; of several, or `useradd: …`, it is a program's own words."""
    yield from map(printable, str(error).splitlines())
    hint = [printable(line) for line in error.hint.splitlines()]
    if len(hint) == 1 and not re.match(r"\S+: ", hint[0]):
        yield f"   try: {hint[0]}"
    else:
        yield from (f"   | {line}" for line in hint[-30:])


def totals(outcomes: Iterable[Outcome]) -> str:
    """`61 as declared, 2 changed, 1 failed`: zeros are left out."""
    return say_counts(counts(outcomes))


def counts(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """How many resources there are of each kind, without zeros."""
    return dict(Counter(kind(outcome) for outcome in outcomes))


def say_counts(found: Mapping[str, int]) -> str:
    fine = ("same", "added", "changed", "removed")
    order = (*fine, "failed", "refused", "degraded", "not reached")
    names = {"same": "as declared"}
    return ", ".join(f"{found[k]} {names.get(k, k)}" for k in order if k in found)


def data(outcomes: Iterable[Outcome]) -> list[dict[str, object]]:
    """The same for a program: what is not as declared, in order. See docs/json.md."""
    return [
        {
            "component": outcome.component,
            "resource": outcome.resource.label,
            "outcome": kind(outcome),
            "changes": [
                {"field": c.field, "before": plain(c.before), "after": plain(c.after)}
                for c in outcome.changes
            ],
            "error": str(outcome.error) if outcome.error else None,
            "hint": outcome.error.hint if outcome.error else None,
        }
        for outcome in outcomes
        if kind(outcome) != "same"
    ]


def plain(value: Value) -> object:
    return sorted(value) if isinstance(value, frozenset) else value


def declared(components: Iterable[Component]) -> Iterator[str]:
    """All that is declared, for `show` and for golden files."""
    for part in components:
        needs = f" (needs {', '.join(part.needs)})" if part.needs else ""
        where = f" (on machines with {part.device})" if part.device else ""
        yield f"{part.name}{needs}{where}"
        for resource in part.resources:
            yield from (f"  {line}" for line in _declared(resource))


def _declared(resource: Resource) -> Iterator[str]:
    short, long = [], []
    defaults = resource._field_defaults
    for field in resource._fields[1:]:
        value = getattr(resource, field)
        if value is None or (field in defaults and value == defaults[field]):
            continue
        if isinstance(value, str) and "\n" in value:
            lines = map(printable, _text_lines(value))
            long += [f"    {field} | {line}".rstrip() for line in lines]
        else:
            short.append(f"{field}={_field(field, value)}")
    yield " ".join([resource.label, *short])
    yield from long


def differing(theirs: Resource | None, ours: Resource | None) -> Changes:
    """The fields in which a declaration is not as another; None: there is none, and `show` says all."""
    either = ours or theirs
    if either is None:
        return ()
    # What names it, and of one that is new or gone what is not as it mostly is.
    usual = {} if ours and theirs else either._field_defaults
    fields = [
        name
        for number, name in enumerate(either._fields)
        if not number or name not in usual or getattr(either, name) != usual[name]
    ]
    both = [(name, _of(theirs, name), _of(ours, name)) for name in fields]
    return tuple(Change(*each) for each in both if each[1] != each[2])


def _of(resource: Resource | None, name: str) -> Value:
    """A field as a value that can be compared and shown."""
    value = getattr(resource, name, None)
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, frozenset):
        return frozenset(map(str, value))
    return _field(name, value)


def _field(name: str, value: object) -> str:
    if name.endswith("mode") and isinstance(value, int):
        return str(octal(value))
    if isinstance(value, frozenset):
        return ",".join(sorted(map(str, value))) or "nobody"
    text = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text if text.split() == [text] else repr(text)


def _is_long(value: object) -> bool:
    return isinstance(value, str) and "\n" in value.rstrip("\n")


def _shown(value: Value) -> str:
    return printable(brief(value))


def _difference(before: Value, after: frozenset[str]) -> str:
    was = before if isinstance(before, frozenset) else frozenset()
    gone = [f"-{name}" for name in sorted(was - after)]
    return printable(" ".join(gone + [f"+{name}" for name in sorted(after - was)]))


def _diff(before: Value, after: Value) -> Iterator[str]:
    old, new = (_text_lines(str(v)) if v is not None else [] for v in (before, after))
    lines = list(difflib.unified_diff(old, new, lineterm="", n=2))
    # The first two lines name files, which is said already; a new text has no place in an old.
    return map(printable, lines[2:] if old else lines[3:])


def _text_lines(text: str) -> list[str]:
    """Lines as they are in the file: a last one without its end says so."""
    *lines, last = text.split("\n")
    return [*lines, f"{last} (no newline at end)"] if last else lines


def printable(line: str) -> str:
    """What is on a host may try to drive the terminal it is shown on."""
    return "".join(c if c.isprintable() or c == "\t" else ascii(c)[1:-1] for c in line)
