"""What a word on the command line may be, and what it means then."""

from __future__ import annotations

import argparse

from backend_server.checkout.images import DIGEST


def seconds(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        waits = "A run without a terminal waits for nobody"
        raise _found(text, f"a number of seconds from 1 on. {waits}")
    return int(text)


def time(text: str) -> int:
    """Seconds, of 90, 30m, 2h or 7d."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    number, unit = (text[:-1], text[-1:]) if text[-1:] in units else (text, "s")
    if not (number.isascii() and number.isdecimal()):
        raise _found(text, "such as 90, 30m, 2h or 7d")
    return int(number) * units[unit]


def digest(text: str) -> str:
    if not DIGEST.fullmatch(text):
        raise _found(text, "sha256: and 64 hexadecimal digits")
    return text


def _found(text: str, wanted: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f"found {text!r}; wanted {wanted}")
