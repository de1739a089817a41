"""Questions to whoever sits at the terminal, secrets too. Standard output is left to --json."""

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


def secret(title: str) -> str:
    """From the terminal, not shown, asked twice; without one, standard input to its end.

    A last newline is not part of it. Raises Refused where the two differ, or where it is empty.
    """
    import getpass  # seldom needed

    try:
        if sys.stdin.isatty():
            value = getpass.getpass(f"{title} (nothing is shown): ")
            if value != getpass.getpass("Once more: "):
                raise Refused("the two were not the same; nothing was changed")
        else:
            value = sys.stdin.read()
            value = value[:-1] if value.endswith("\n") else value
    except (EOFError, UnicodeError):
        raise Refused(f"{title}: Ctrl-D, or no UTF-8; nothing was changed") from None
    if not value:
        raise Refused(f"{title}: it was empty; nothing was changed")
    return value
