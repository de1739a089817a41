"""Environment files: what services are told, and how docker is told it.

The rules, here and nowhere else:

- A line is NAME=value, with or without `export ` before it. NAME is of letters, digits and _.
- Blank lines, and lines whose first character is #, say nothing. CRLF counts as a newline.
- Matching quotes, ' or ", around a value are taken off; within them everything is literal.
- Without quotes, blanks around the value are taken off, and so is what follows a # that has a
  blank before it.
- $ and backslashes are themselves, always. A value has no newline, carriage return or NUL.
- A later line wins over an earlier one, and a later file over an earlier one.
"""

from __future__ import annotations

import re
from typing import Iterable, Mapping

from backend_server.text.problem import Problem


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BLANKS = " \t"
_COMMENT = re.compile(r"[ \t]#.*")
_AFTER_QUOTES = re.compile(r"[ \t]+(#.*)?")
_MAX_BYTES = 60_000  # docker reads lines of up to 64 KiB


class _Wrong(Exception):
    """Why a line is none of ours, without a word of its value."""


def parse(source: str, text: str) -> tuple[dict[str, str], list[Problem]]:
    """Values by name, and what is wrong with other lines. No problem shows a value."""
    values: dict[str, str] = {}
    problems = []
    # An editor on Windows may have put a mark before the first line.
    lines = text[text.startswith("\ufeff") :].split("\n")
    for number, line in enumerate(lines, start=1):
        line = (line[:-1] if line.endswith("\r") else line).strip(_BLANKS)
        if not line or line.startswith("#"):
            continue
        try:
            name, value = _assignment(line)
        except _Wrong as wrong:
            problems.append(Problem(source, number, str(wrong)))
        else:
            values[name] = value
    return values, problems


def merge(files: Iterable[tuple[str, str]]) -> tuple[dict[str, str], list[Problem]]:
    """What all of these (source, text) say together: a later one wins."""
    values: dict[str, str] = {}
    problems = []
    for source, text in files:
        found, wrong = parse(source, text)
        values.update(found)
        problems += wrong
    return values, problems


def rendered(values: Mapping[str, str]) -> str:
    """As `docker run --env-file` takes it: literal to the end of the line, no quotes, no comments."""
    return "".join(f"{name}={values[name]}\n" for name in sorted(values))


def literal(text: str) -> dict[str, str]:
    """Values by name of what was rendered."""
    lines = (line.partition("=") for line in text.split("\n"))
    return {name: value for name, equals, value in lines if equals}


def assigned(text: str, name: str, value: str) -> str:
    """TEXT with one line for NAME, where its first one was; all other lines stay.

    Raises ValueError, without the value, where no line can say it.
    """
    line = f"{name}={_quoted(value)}"
    if parse("", line) != ({name: value}, []):
        raise ValueError("no line can hold it: a newline, another mark, or both quotes")
    before = text.split("\n")
    end = [before.pop()] if not before[-1] else []
    ours = [n for n, each in enumerate(before) if name in parse("", each)[0]]
    kept = [each for n, each in enumerate(before) if n not in ours]
    kept.insert(ours[0] if ours else len(kept), line)
    return "\n".join(kept + (end or [""]))


def _assignment(line: str) -> tuple[str, str]:
    name, equals, text = line.partition("=")
    name = re.sub(r"^export[ \t]+", "", name)
    if not equals or not _NAME.fullmatch(name):
        raise _Wrong("wanted NAME=value, without blanks around the name")
    value = _value(name, text)
    if any(mark in value for mark in "\0\r\n"):
        raise _Wrong(f"the value of {name} has a newline, a carriage return or a NUL")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise _Wrong(
            f"the value of {name} is no UTF-8: docker takes no other"
        ) from None
    if size > _MAX_BYTES:
        raise _Wrong(f"the value of {name} is longer than {_MAX_BYTES} bytes")
    return name, value


def _value(name: str, text: str) -> str:
    quoted = text.strip(_BLANKS)
    if quoted[:1] not in ("'", '"'):
        return _COMMENT.sub("", text).strip(_BLANKS)
    value, closing, rest = quoted[1:].partition(quoted[0])
    if not closing:
        raise _Wrong(f"the quote that opens the value of {name} is not closed")
    if rest and not _AFTER_QUOTES.fullmatch(rest):
        raise _Wrong(f"something follows the closing quote of {name}")
    return value


def _quoted(value: str) -> str:
    if re.fullmatch(r"[\w.,:/@%+=-]*", value):
        return value
    return f'"{value}"' if "'" in value else f"'{value}'"
