"""The command line: what is asked, who may ask it, and how it ends."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from typing import Sequence

from backend_server.cli.arguments import Act, parser
from backend_server.engine.report import sentence
from backend_server.run.run import Options
from backend_server.text.errors import Refused, UserError


def main(argv: Sequence[str], checkout: str) -> int:
    """The exit status. Only errors we expect are caught: a bug keeps its traceback."""
    _survive_any_locale()
    options = parser().parse_args(_with_default_command(argv))
    try:
        if options.command != "show" and os.geteuid() != 0:
            raise _not_root(options)
        if options.looks:  # all others go on when nobody reads their output
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


def _options(options: argparse.Namespace, checkout: str) -> Options:
    given = {name: x for name, x in vars(options).items() if name in Options._fields}
    only = tuple(given.pop("only", None) or ())
    return Options(checkout=Path(checkout), only=only, **given)


def _survive_any_locale() -> None:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
