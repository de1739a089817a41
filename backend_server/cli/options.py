"""Arguments of the command line: how one is written, what its word may be, and what several take."""

from __future__ import annotations

import argparse
from typing import Any, Mapping, NamedTuple

from backend_server.checkout import DIGEST


class Argument(NamedTuple):
    """What add_argument() takes: names, and settings."""

    names: tuple[str, ...]
    settings: Mapping[str, Any]


def flag(*names: str, says: str) -> Argument:
    return Argument(names, {"action": "store_true", "help": says})


def argument(name: str, **settings: Any) -> Argument:
    # What is not given has the default of what the command wants to be told.
    return Argument((name,), {"default": argparse.SUPPRESS, **settings})


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


ONLY = argument(
    "--only",
    action="append",
    metavar="COMPONENT",
    help="leave the others alone; may be given again",
)
OFFLINE = flag("--offline", says="ask nothing of the network")
ACCEPT = flag(
    "--accept-keys", says="let in the further keys that GitHub has for people here"
)
VERBOSE = flag(
    "-v", "--verbose", says="whole text of new files, and every program started"
)
YES = flag(
    "--yes",
    says="answers yes: a first run here, an account that is adopted, several people who leave",
)
CONFIRM = argument(
    "--confirm-within",
    metavar="SECONDS",
    type=seconds,
    help="how long a change to sshd, PAM or the firewall waits for a new login; default: 300",
)
ASK = flag("--ask", says="for one, instead of making it; or a line on stdin")
RESET = flag("--reset", says="no password again, as on the first day")
MAYBE_USER = argument("user", metavar="USER", nargs="?")
REVIEWER = argument("subject", metavar="USER")
WHOM = argument("subject", metavar="USER|SHA256:…")
_WHY = "for the history, and the other developers"
WHY = argument("--why", metavar="TEXT", required=True, help=_WHY)
MAYBE_WHY = argument("--why", metavar="TEXT", help=_WHY)
SINCE = argument("--since", metavar="TIME", type=time, help="also ended, as 7d")
JOB = argument("subject", metavar="ID")
JOBS = argument("subjects", metavar="ID", nargs="+")
ACTING = (ONLY, OFFLINE, ACCEPT, VERBOSE)
