"""The command line: what is asked, who may ask it, and how it ends."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from typing import Callable, Sequence

from backend_server.commands.access import narrow, password, readmit, revoke
from backend_server.commands.host import repair, undo
from backend_server.commands.look import show, status
from backend_server.commands.manage import apply, plan
from backend_server.commands.people import first_password, list_people, who
from backend_server.errors import Refused, UserError
from backend_server.report import sentence
from backend_server.run import Options


Act = Callable[[Options], int]
Add = Callable[..., argparse.ArgumentParser]

_COMMANDS = {
    "apply": (apply, "make this host what it is declared to be (the default)"),
    "plan": (plan, "what apply would change; exit 3 if anything"),
    "show": (show, "all that is declared; needs no root and looks at no host"),
    "status": (status, "what this host is now"),
}
_PEOPLE = {
    "list": (list_people, "everybody with an account of ours, or on a roster here"),
    "who": (who, "what an account can reach, and why"),
    "narrow": (narrow, "take away what has ended; the timer's, every 15 minutes"),
    "revoke": (revoke, "shut out an account, or a key by its SHA256:…, now"),
    "readmit": (readmit, "take back a revoke"),
    "password": (password, "--reset USER: no password again, as on the first day"),
    "first-password": (first_password, "your own, once: sudo opensafely-password"),
}
_EXIT_CODES = """\
exit status:
  0  as declared          1  something failed       2  usage, or refused
  3  plan found changes   4  as declared, but degraded
"""


def main(argv: Sequence[str], checkout: str) -> int:
    """The exit status. Only errors we expect are caught: a bug keeps its traceback."""
    _survive_any_locale()
    options = _parser().parse_args(_with_default_command(argv))
    try:
        if options.command != "show" and os.geteuid() != 0:
            raise _not_root(options)
        if options.command != "apply":  # which goes on when nobody reads its output
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        act: Act = options.act
        return act(_options(options, checkout))
    except UserError as error:
        return _say(error, as_json=options.json)
    except KeyboardInterrupt:
        print("\nstopped; run it again to go on where it ended", file=sys.stderr)
        return 1


def _say(error: UserError, *, as_json: bool) -> int:
    if as_json:
        found = {"exit": error.exit_code, "error": str(error), "hint": error.hint}
        print(json.dumps({"format": 1, **found}))
    print("error: " + "\n".join(sentence(error)), file=sys.stderr)
    return error.exit_code


def _not_root(options: argparse.Namespace) -> UserError:
    command = " ".join(filter(None, (options.command, vars(options).get("action"))))
    return Refused(
        f"`{command}` needs root and this is uid {os.geteuid()}",
        hint=f"sudo ./{options.backend}/manage.sh {command}",
    )


def _with_default_command(argv: Sequence[str]) -> list[str]:
    if not argv:
        return []
    backend, *rest = argv
    asks_for_help = rest[:1] in (["-h"], ["--help"])
    if not asks_for_help and (not rest or rest[0].startswith("-")):
        rest = ["apply", *rest]
    return [backend, *rest]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="manage.sh",
        description="Makes this host an OpenSAFELY backend and keeps it one.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("backend", help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (act, says) in _COMMANDS.items():
        command = _command(commands.add_parser, name, act, says)
        if name != "status":
            _only(command)
        if name in ("apply", "plan"):
            _acting(command)
        if name == "apply":
            says = "answers yes: a first run here, an account that is adopted"
            command.add_argument("--yes", action="store_true", help=says)
            says = (
                "how long a change to sshd or PAM waits for a new login; default: 300"
            )
            command.add_argument(
                "--confirm-within",
                metavar="SECONDS",
                type=_seconds,
                default=argparse.SUPPRESS,
                help=says,
            )
        if name == "show":
            says = "such as `ubuntu 24.04`; this host's if not given"
            command.add_argument("--release", metavar="RELEASE", help=says)
    _people(commands.add_parser)
    _host(commands.add_parser)
    return parser


def _people(add: Add) -> None:
    says = "who can do what on this host"
    people = add("people", help=says, description=says, allow_abbrev=False)
    actions = people.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, (act, says) in _PEOPLE.items():
        action = _command(actions.add_parser, name, act, says)
        if name == "who":
            action.add_argument("user", metavar="USER", nargs="?", default="")
            says = "everybody who can become root, and each way there"
            action.add_argument("--root", action="store_true", help=says)
        if name in ("revoke", "readmit", "password"):
            action.add_argument(
                "subject", metavar="USER" if name == "password" else "USER|SHA256:…"
            )
        if name in ("revoke", "readmit"):
            needed = name == "revoke"
            says = "for the history, and the other developers"
            action.add_argument("--why", metavar="TEXT", required=needed, help=says)
        if name == "password":
            action.add_argument("--reset", action="store_true")
        if name == "narrow":
            action.add_argument(
                "--offline", action="store_true", help="ask nothing of the network"
            )


def _command(add: Add, name: str, act: Act, says: str) -> argparse.ArgumentParser:
    command = add(name, help=says, description=says, allow_abbrev=False)
    command.set_defaults(act=act)
    command.add_argument("--json", action="store_true", help="for programs")
    return command


def _host(add: Add) -> None:
    says = "look after this host: repair, undo"
    host = add("host", help=says, description=says, allow_abbrev=False)
    actions = host.add_subparsers(dest="action", metavar="ACTION", required=True)
    says = "give files in the data trees the access back that they should have"
    command = _command(actions.add_parser, "repair", repair, says)
    says = "only in workspaces that changed since the last time"
    command.add_argument("--recent", action="store_true", help=says)
    says = (
        "bring back what a change to sshd or PAM replaced, if nobody confirmed it yet"
    )
    _command(actions.add_parser, "undo", undo, says)


def _seconds(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(
            f"found {text!r}; wanted a number of seconds from 1 on. "
            "A run without a terminal waits for nobody"
        )
    return int(text)


def _only(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--only",
        action="append",
        metavar="COMPONENT",
        help="leave the others alone; may be given again",
    )


def _acting(command: argparse.ArgumentParser) -> None:
    says = "ask nothing of the network"
    command.add_argument("--offline", action="store_true", help=says)
    says = "let in the further keys that GitHub has for people here"
    command.add_argument("--accept-keys", action="store_true", help=says)
    says = "whole text of new files, and every program started"
    command.add_argument("-v", "--verbose", action="store_true", help=says)


def _options(options: argparse.Namespace, checkout: str) -> Options:
    given = {name: x for name, x in vars(options).items() if name in Options._fields}
    only = tuple(given.pop("only", None) or ())
    return Options(checkout=Path(checkout), only=only, **given)


def _survive_any_locale() -> None:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
