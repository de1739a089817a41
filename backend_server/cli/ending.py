"""What commands have in common: printing, going on without a terminal, and telling of what was done."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
from typing import Iterable, Iterator, Mapping, NoReturn, TextIO

from backend_server.cli.streams import Stream, show
from backend_server.engine import history
from backend_server.engine.notices import event, tell
from backend_server.engine.report import sentence
from backend_server.host import Host, command
from backend_server.run.place import Asked, Named
from backend_server.text.errors import FAILED, OK, REFUSED, Refused, UserError


# What is sent to all who are on a terminal, or as one of its processes ends.
_ENDS = frozenset({signal.SIGINT, signal.SIGHUP, signal.SIGTERM})
_STOPPING = b"\nstopping: what must not stay half done is undone\n"


def say_lines(lines: Iterable[str], stream: TextIO | None = None) -> None:
    for line in lines:  # a name with a line's end in it makes no line of its own
        print(line.replace("\n", "\n   | "), flush=True, file=stream)


def told(asked: Asked, data: Mapping[str, object], lines: Iterable[str]) -> int:
    """The same for a program, with --json, or for people: the exit status where all went well."""
    if asked.json:
        print(json.dumps({"format": 1, **data}))
    else:
        say_lines(lines)
    return OK


def say_error(error: UserError, *, as_json: bool) -> None:
    if as_json:
        found = {"exit": error.exit_code, "error": str(error), "hint": error.hint}
        print(json.dumps({"format": 1, **found}))
    print("error: " + "\n".join(sentence(error)), file=sys.stderr)


class Logs(Named):
    follow: bool = False


def passed_on(asked: Logs, follow: bool, *argv: str) -> int:
    """What a program says on both streams; one that goes on has them itself."""
    if follow:
        become(asked, *argv)
    output = command.answer(command.start(argv), deadline_s=60)
    lines = (output.stdout + output.stderr).splitlines()
    told(asked, {"subject": asked.subject, "lines": lines}, lines)
    return FAILED if output.status else OK


def become(asked: Asked, *argv: str) -> NoReturn:
    if asked.json:
        raise Refused("what goes on until somebody ends it is no JSON")
    command.become(*argv)


def outlive_terminal(asked: Asked) -> None:
    """From here on a process of its own works, which has the lock and hangs on no terminal.

    This one waits, shows what that one says, passes Ctrl-C on, and ends as the other did. Called
    when nothing is left to ask.
    """
    journal = os.memfd_create("said")
    alone, ready = os.pipe()
    # Until each of the two is what it is to be, they wait: of a Ctrl-C both have one.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
    worker = os.fork()
    if worker:
        os.close(ready)
        os.read(alone, 1)
        _wait(worker, journal, asked)
    # Ctrl-S, or a reader that sleeps, holds up who shows it.
    Stream.journal = io.FileIO(journal, "w")
    os.setsid()
    signal.signal(signal.SIGHUP, lambda *_: None)  # SIG_IGN would be inherited
    # Whoever waits passes theirs on; of two, the second would end what the first one undoes.
    signal.signal(signal.SIGINT, signal.signal(signal.SIGINT, signal.SIG_IGN))
    os.close(ready)
    os.close(alone)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)


def _wait(worker: int, journal: int, asked: Asked) -> NoReturn:
    def stop(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.kill(worker, signal.SIGINT)
        # Itself may be half-way through a line of theirs.
        Stream(2, "w", closefd=False).write(_STOPPING)

    signal.signal(signal.SIGINT, stop)
    # Without this one the worker goes on, and keeps the rest for nobody.
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)
    os.closerange(3, journal)  # the lock is the worker's
    os.closerange(journal + 1, 256)
    look = os.WEXITED | os.WNOHANG | os.WNOWAIT
    show(journal, lambda: os.waitid(os.P_PID, worker, look))
    _, status = os.waitpid(worker, 0)
    if os.WIFSIGNALED(status):
        killed = f"what worked was killed by signal {os.WTERMSIG(status)}"
        hint = "sudo backend status"
        say_error(UserError(killed, hint), as_json=asked.json)
        os._exit(FAILED)
    os._exit(all_told(os.WEXITSTATUS(status)))


def all_told(status: int) -> int:
    """The exit status, which is another one where standard output has not taken all."""
    if not Stream.lost:
        return status
    why = f"standard output did not take all that this says: {Stream.lost}"
    say_error(UserError(why), as_json=False)
    return REFUSED if status == REFUSED else FAILED


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


def say_done(asked: Named, sentence: str) -> int:
    """What became of somebody, in a sentence; with --json only who it was."""
    return told(asked, {"subject": asked.subject}, [sentence])


@contextlib.contextmanager
def noted(host: Host, asked: Asked, what: str, name: str, said: str) -> Iterator[None]:
    """The history has it before it is done, as who does it may be killed; the developers after it.

    Where it comes to nothing, the history has that too.
    """
    of = (host, str(asked.checkout), what)
    history.event(*of, subject=name)
    try:
        yield
    except BaseException:
        history.event(*of, subject=name, outcome="failed")
        raise
    tell(host, said)


def record(host: Host, asked: Named, what: str, sentence: str, why: str = "") -> None:
    """The history, and the other developers, know what was done to whom, and why."""
    event(host, str(asked.checkout), what, sentence, subject=asked.subject, why=why)
