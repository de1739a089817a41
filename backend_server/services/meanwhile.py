"""What is so for a while only, an image on trial or a service that is stopped, and its end.

Whoever begins it holds the lock of a run. Once that is free, however they ended, systemd starts
what puts back all that is left; and so does a boot.
"""

from __future__ import annotations

import contextlib
import signal
from typing import Callable, Iterator

from backend_server.checkout import service
from backend_server.checkout.service import CHOICES, FOLLOWED, SETTINGS, unit_of
from backend_server.engine import lock, notices
from backend_server.host import Host, HostReader, undo
from backend_server.host.undo import AT_BOOT, TRIAL


Said = Callable[[], object]


@contextlib.contextmanager
def on_trial(host: Host, *names: str, said: Said = bool) -> Iterator[None]:
    """What becomes of these services and files stays, unless something is raised or this process dies.

    Then the files are as they were, and the services run again with the settings, and the choice
    of an image, that they had. What SAID writes down at the end is so: Ctrl-C or SIGTERM
    comes too late then.
    """
    with lock.then_starts(AT_BOOT):
        put_back_left(host, "/")  # by somebody who was killed a moment ago
    try:
        kept = [n if n.startswith("/") else f"{SETTINGS}/{n}" for n in names]
        notes = (FOLLOWED.format(name) for name in names if not name.startswith("/"))
        undo.keep_together(host, [*kept, CHOICES, *notes], TRIAL)
        yield
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
        said()
        undo.forget_together(host, TRIAL)
    except BaseException:
        put_back(host)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))


def left(host: HostReader) -> list[str]:
    """The units and other files on trial, by somebody who works or by nobody any more."""
    found = undo.kept_together(host, TRIAL)
    notes = FOLLOWED.rpartition("}")[2]
    kept = sorted(p for p in found if p != CHOICES and not p.endswith(notes))
    ends = [path.partition(f"{SETTINGS}/")[2] for path in kept]
    return [unit_of(name) if name else path for name, path in zip(ends, kept)]


def put_back_left(host: Host, checkout: str, who: str = "", *how: str) -> None:
    """What WHO had on trial, and did not end, is as before. That is in the history, whoever dies."""
    names = ", ".join(left(host))
    sentence = f"{names} is as before again: {who or 'who was at it'}, did not end"
    try:
        if names:
            notices.event(host, checkout, "undo", sentence, subject=names)
    finally:
        put_back(host, *how)


def put_back(host: Host, *how: str) -> None:
    """Nothing is on trial, and what was runs as before."""
    undo.bring_back_together(host, TRIAL)
    for path in (each for each in left(host) if each.startswith(service.BACKUPS)):
        from backend_server.services import backup  # seldom needed

        backup.bring_back(host, path)
    for unit in (each for each in left(host) if not each.startswith("/")):
        host.run("systemctl", "restart", *how, unit)
        host.clear_pending(unit)
    undo.forget_together(host, TRIAL)
