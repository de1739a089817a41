"""people revoke, readmit, narrow: what a person may do here, and no longer."""

from __future__ import annotations

import sys
from datetime import datetime, timezone

from backend_server.cli.ending import record, say_done, say_lines, told
from backend_server.engine import engine, history, report
from backend_server.engine.lock import NARROW, Busy, only_run
from backend_server.engine.notices import tell
from backend_server.host.writer import Host
from backend_server.people import applied, keyring, revoking
from backend_server.people.narrowing import narrowing, overdue, remaining
from backend_server.run import consent
from backend_server.run.place import Asked, Named, load
from backend_server.run.run import Options, Run
from backend_server.text.errors import OK, UserError


class Revoke(Named):
    why: str = ""


def revoke(options: Revoke) -> int:
    """An account or a key is shut out now; each door is named as it is shut."""
    host = Host()
    backend = load(options.backend, options.checkout)
    receipt: list[dict[str, str]] = []
    failure = None
    try:
        for door, what in revoking.revoke(host, backend, options.subject, options.why):
            receipt.append({"door": door, "was": what})
            if not options.json:
                say_lines([f"{door:<22} {what or 'shut already'}"])
    except UserError as error:  # a door would not shut, which is in the history too
        if not receipt:
            raise
        failure = error
    try:
        sentence = f"{options.subject} was revoked by {history.who(host)}"
        record(host, options, "revoked", f"{sentence}: {options.why}", options.why)
    finally:
        if failure:
            raise failure
    back = f"backend people readmit {options.subject}"
    done = f"{options.subject} is shut out until somebody says: {back}"
    told(options, {"subject": options.subject, "doors": receipt}, [done])
    return OK


def readmit(options: Revoke) -> int:
    """Whoever was revoked is as anybody else again."""
    host = Host()
    revoking.readmit(host, options.subject)
    sentence = f"{options.subject} was readmitted by {history.who(host)}"
    record(host, options, "readmitted", sentence, options.why)
    back = "gets back what the rosters say with the next run: sudo backend"
    say_done(options, f"{options.subject} {back}")
    return OK


class Narrow(Asked):
    offline: bool = False


def narrow(options: Narrow) -> int:
    """Expiries, revocations and keys that GitHub no longer has are carried out. Silent if none."""
    host = Host()
    try:
        with only_run(f"{NARROW}, since {history.now()}"):
            return _narrow(options, host)
    except Busy as busy:  # a run by a person does all of this too
        told(options, {"done": ""}, [f"nothing was done: {busy}"])
        return OK


def _narrow(asked: Narrow, host: Host) -> int:
    backend = load(asked.backend, asked.checkout)
    options = Options(**vars(asked))
    before = applied.read(host, backend)
    if before is None:
        told(asked, {"done": ""}, ())
        return OK
    today = datetime.now(timezone.utc).date()
    now = remaining(before, host, today)
    asks = not options.offline
    verdict = keyring.asked(now, host) if asks else keyring.remembered(host)
    run = Run(options, host, now, verdict, lambda site: narrowing(before, site, host))
    run.unanswered = list(overdue(now, today))
    with run.taking_note():
        keyring.remember(host, verdict)
    run.plan()
    whose = consent.gains_and_losses(run.outcomes)
    if whose:
        run.record(host, event="people narrow")  # before, as it may be killed
    run.outcomes = list(engine.walk(run.components, host))
    run.exit_code = run.ended()
    if whose:
        with run.taking_note():
            tell(host, f"access has ended: {'; '.join(whose)}")
        run.record(host, event="people narrow")
    run.exit_code = run.ended()  # not being recorded is a failure too
    _show(run)
    return run.exit_code


def _show(run: Run) -> None:
    text = report.Text(colour=sys.stdout.isatty())
    lines = [line for outcome in run.outcomes for line in text.lines(outcome)]
    if run.unrecorded:
        lines += report.sentence(run.unrecorded)
    told(run.options, run.data(), [*lines, *(f"degraded: {d}" for d in run.degraded)])
