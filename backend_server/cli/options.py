"""Arguments of the command line that more than one command takes, and how one is written."""

from __future__ import annotations

import argparse
from typing import Any, Mapping, NamedTuple

from backend_server.cli import kinds


class Argument(NamedTuple):
    """What add_argument() takes: names, and settings."""

    names: tuple[str, ...]
    settings: Mapping[str, Any]


def flag(*names: str, says: str) -> Argument:
    return Argument(names, {"action": "store_true", "help": says})


def argument(name: str, **settings: Any) -> Argument:
    # What is not given has the default of what the command wants to be told.
    return Argument((name,), {"default": argparse.SUPPRESS, **settings})


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
    type=kinds.seconds,
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
SINCE = argument("--since", metavar="TIME", type=kinds.time, help="also ended, as 7d")
JOB = argument("subject", metavar="ID")
JOBS = argument("subjects", metavar="ID", nargs="+")
ACTING = (ONLY, OFFLINE, ACCEPT, VERBOSE)
