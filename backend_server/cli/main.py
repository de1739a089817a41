"""The command line: what is asked, who may ask it, and how it ends."""

from __future__ import annotations

import argparse
import importlib
import os
from functools import partial
from pathlib import Path
from typing import Any, Callable, Sequence

from backend_server.cli import streams
from backend_server.cli.arguments import parser
from backend_server.cli.ending import all_told, say_error
from backend_server.host import Host
from backend_server.run.place import Asked, named_so, plain_path, same_backend
from backend_server.text.errors import OK, Refused, UserError


Act = Callable[[Any, Host], int]  # and named arguments

# These shut a door, or bring the last one back: no state of the host may hold them up.
_ALWAYS = ("revoke", "undo")


def main(argv: Sequence[str], checkout: str) -> int:
    """The exit status. Only errors we expect are caught: a bug keeps its traceback."""
    streams.lay()
    return all_told(_act(_with_default_command(argv), checkout))


def _act(words: list[str], checkout: str) -> int:
    as_json = "--json" in words
    try:
        if words:
            named_so(words[0], checkout)
        if as_json and not {"-h", "--help"}.isdisjoint(words):
            raise Refused("help is text, and no JSON", "the same without --json")
        place = f"{checkout}/{words[0]}/" if words else ""
        options = parser(words, place).parse_args(words)
        if options.command != "show" and os.geteuid() != 0:
            raise _not_root(options)
        act, asked = _asked(options, checkout)
        host = Host()
        action = vars(options).get("action")
        if options.command != "show" and action not in _ALWAYS:
            plain_path(asked.checkout)
            same_backend(asked, host)
        return act(asked, host)
    except SystemExit:  # argparse's, once it has helped
        return OK
    except UserError as error:
        wrong = error
    except OSError as error:
        # A disk that is full or broken, a share that has gone, a file that is immutable.
        why = f"this could not be done: {error.strerror or error} ({error.filename})"
        wrong = UserError(why, "sudo backend status; journalctl -kn 20")
    except KeyboardInterrupt as interrupt:
        wrong = UserError(str(interrupt), "run it again to go on where it ended")
    say_error(wrong, as_json=as_json)
    return wrong.exit_code


def _not_root(options: argparse.Namespace) -> UserError:
    command = " ".join(filter(None, (options.command, vars(options).get("action"))))
    hint = f"sudo ./{options.backend}/manage.sh {command}"
    return Refused(f"`{command}` needs root and this is uid {os.geteuid()}", hint)


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

    By the type of its argument, and by those that have a name, it says what it wants to be told,
    and by that of the host whether it only looks.
    """
    file, _, name = options.act.partition(".")
    module = importlib.import_module(f"backend_server.cli.{file}")
    act = getattr(module, name)
    kind = vars(module)[act.__annotations__["options"]]
    given = {**vars(options), "checkout": Path(checkout)}
    if given.get("only"):
        given["only"] = tuple(given["only"])
    wanted, named = kind._fields, act.__kwdefaults__ or ()
    more = {option: x for option, x in given.items() if option in named}
    asked = kind(**{field: x for field, x in given.items() if field in wanted})
    return partial(act, **more), asked
