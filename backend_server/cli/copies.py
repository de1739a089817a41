"""service backup and restore: copies of what a service keeps."""

from __future__ import annotations

import contextlib
from functools import partial

from backend_server.checkout.service import Service
from backend_server.cli.ending import outlive_terminal, record, told
from backend_server.engine import Host, Refused, UserError, history, lock
from backend_server.host.question import agreed
from backend_server.run.place import Named, of_host_itself
from backend_server.services import backup, meanwhile, states


def back_up(options: Named, host: Host) -> int:
    """There is a copy of this moment."""
    what = _keeper(options, host)
    copy = backup.back_up(host, what.name, what.keeps)
    return told(options, {"subject": what.name, "done": str(copy)}, [f"{copy} is made"])


def restore(options: Named, host: Host, *, when: str = "", yes: bool = False) -> int:
    """It runs with what was then; of what is now there is a copy."""
    what = _keeper(options, host)
    copy = backup.named(what.name, when)
    done = f"{what.name} goes on with its data of {copy.name}, by {history.who(host)}"
    with lock.only_run(history.holder(host, "service restore")):
        if not yes:
            loses = f"{what.name} would lose what was done since {copy.name}"
            agreed(f"{loses}, and nobody is here to say yes", (loses,), "Type yes: ")
        outlive_terminal(options)
        of, back = (host, what.name, what.keeps), copy
        with contextlib.suppress(UserError):  # which may be why
            back = backup.back_up(*of, spare=copy)
        said = partial(record, host, options, "service restore", done)
        try:
            with meanwhile.on_trial(
                host, what.name, backup.noted(*of, back), said=said
            ):
                backup.restore(*of, str(copy))
                host.run("systemctl", "start", what.unit)
        except KeyboardInterrupt as stopped:  # the last copy is another one by now
            hint = f"sudo backend service restore {what.name} {copy.name}"
            raise UserError(str(stopped), hint) from None
        states.prove(host, what)
    return told(options, {"subject": what.name, "done": done}, [done])


def _keeper(options: Named, host: Host) -> Service:
    what = states.known(of_host_itself(options, host), options.subject)
    if not what.keeps:
        raise Refused(f"{what.name} keeps nothing", "sudo backend service list")
    return what
