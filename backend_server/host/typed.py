"""Secrets that a person types."""

from __future__ import annotations

import getpass
import sys

from backend_server.text.errors import Refused


def secret(title: str) -> str:
    """From the terminal, not shown, asked twice; without one, standard input to its end.

    A last newline is not part of it. Raises Refused where the two differ, or where it is empty.
    """
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
