"""The command line: what is asked, who may ask it, and how it ends."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, Callable, Sequence

from backend_server.cli.arguments import parser
from backend_server.engine.report import sentence
from backend_server.host.reader import HostReader
from backend_server.run.place import Asked
from backend_server.run.preflight import same_backend
from backend_server.text.errors import Refused, UserError


Act = Callable[[Any], int]

# These shut a door, or bring the last one back: no state of the host may hold them up.
_ALWAYS = ("revoke", "undo")


def main(argv: Sequence[str], checkout: str) -> int:
    """The exit status. Only errors we expect are caught: a bug keeps its traceback."""
    _survive_any_locale()
    words = _with_default_command(argv)
    options = parser(words).parse_args(words)
    try:
        if options.command != "show" and os.geteuid() != 0:
            raise _not_root(options)
        if options.looks:  # all others go on when nobody reads their output
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        act, asked = _asked(options, checkout)
        action = vars(options).get("action")
        if options.command != "show" and action not in _ALWAYS:
            same_backend(asked, HostReader())
        return act(asked)
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


def _asked(options: argparse.Namespace, checkout: str) -> tuple[Act, Asked]:
    """The function of a command, and what it is asked. Only now is its file imported.

    By the type of its argument it says what it wants to be told.
    """
    file, _, name = options.act.partition(".")
    module = importlib.import_module(f"backend_server.cli.{file}")
    act: Act = getattr(module, name)
    kind = vars(module)[act.__annotations__["options"]]
    given = {**vars(options), "checkout": Path(checkout)}
    if given.get("only"):
        given["only"] = tuple(given["only"])
    wanted = kind._fields
    return act, kind(**{field: x for field, x in given.items() if field in wanted})


def _survive_any_locale() -> None:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
