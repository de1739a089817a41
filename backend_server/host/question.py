"""Questions to whoever sits at the terminal. Standard output is left to --json."""

from __future__ import annotations

import sys
from typing import Iterable

from backend_server.text.errors import Refused


def say(line: str) -> None:
    print(line, file=sys.stderr)


def answer(question: str) -> str:
    """What was typed; nothing at the end of input."""
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()


def agreed(
    nobody: str,
    lines: Iterable[str],
    question: str,
    no: str = "the answer was not yes; nothing was changed",
    wanted: str = "yes",
) -> None:
    """Somebody at the terminal agrees, or Refused is raised: NOBODY where none is there, or NO."""
    if not sys.stdin.isatty():
        hint = "run this on a terminal, or answer beforehand with --yes"
        raise Refused(nobody, hint=hint)
    for line in lines:
        say(line)
    if answer(question) != wanted:
        raise Refused(no)
