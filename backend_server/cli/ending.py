"""What commands have in common: printing, also where nobody reads it, and telling of what was done."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import Iterable, Iterator, Mapping, TextIO

from backend_server.cli.asked import Named
from backend_server.engine.notices import event
from backend_server.host.writer import Host
from backend_server.run.place import Asked
from backend_server.text.errors import Refused


def say_lines(lines: Iterable[str], stream: TextIO | None = None) -> None:
    for line in lines:
        try:
            print(line, flush=True, file=stream)
        except OSError:  # nobody reads on: no reason to leave a run half done
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def told(asked: Asked, data: Mapping[str, object], lines: Iterable[str]) -> None:
    """The same for a program, with --json, or for people."""
    if asked.json:
        print(json.dumps({"format": 1, **data}))
    else:
        say_lines(lines)


@contextlib.contextmanager
def shown_once(as_json: bool, what: str, command: str) -> Iterator[TextIO]:
    """The terminal itself: whatever else reads standard output never sees what is shown there.

    It is open before anything is made that could then not be shown. Raises Refused without one.
    """
    why = f"{what} is shown on a terminal, and nowhere else"
    hint = f"on a terminal, without --json: backend {command}"
    if not sys.stdout.isatty() or as_json:
        raise Refused(why, hint=hint)
    with contextlib.ExitStack() as opened:
        try:
            terminal = opened.enter_context(open("/dev/tty", "w", encoding="utf-8"))
        except OSError:
            raise Refused(why, hint=hint) from None
        yield terminal


def say_done(asked: Named, sentence: str) -> None:
    """What became of somebody, in a sentence; with --json only who it was."""
    told(asked, {"subject": asked.subject}, [sentence])


def record(
    host: Host, asked: Named, what: str, sentence: str, why: str | None = ""
) -> None:
    """The history, and the other developers, know what was done to whom, and why."""
    more = {"subject": asked.subject, "why": why}
    event(host, str(asked.checkout), what, sentence, **more)
