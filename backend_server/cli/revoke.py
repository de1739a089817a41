"""people revoke, readmit, narrow: what a person may do here, and no longer."""

from __future__ import annotations

import contextlib
import sys
from datetime import datetime, timezone

from backend_server.cli.ending import outlive_terminal, record, say_done, told
from backend_server.engine import Host, engine, history, lock, notices, report
from backend_server.people import applied, keyring, revoking
from backend_server.people.narrowing import narrowing, overdue, remaining
from backend_server.run import consent
from backend_server.run.place import Asked, Named, load
from backend_server.run.run import Options, Run
from backend_server.text.errors import UserError


def revoke(options: Named, host: Host, *, why: str = "") -> int:
    """An account or a key is shut out now; each door is named as it is shut."""
    subject = options.subject
    entry = revoking.judged(host, load(options.backend, options.checkout), subject, why)
    outlive_terminal(options)
    with contextlib.suppress(UserError):  # the end says so
        record(host, options, "revoking", f"{entry.who} revokes {subject}: {why}", why)
    receipt: list[dict[str, str]] = []
    for door, what in revoking.revoke(host, entry):
        receipt.append({"door": door, "was": what})
        if not options.json:
            told(options, {}, [f"{door:<22} {what or 'shut already'}"])
    record(host, options, "revoked", f"{subject} was revoked by {entry.who}", why)
    back = f"sudo backend people readmit {subject}"
    done = f"{subject} is out until somebody says: {back}"
    return told(options, {"subject": subject, "doors": receipt}, [done])


def readmit(options: Named, host: Host, *, why: str = "") -> int:
    """Whoever was revoked is as anybody else again."""
    sentence = f"{options.subject} was readmitted by {history.who(host)}"
    outlive_terminal(options)
    said = (host, options, "readmitted", sentence, why)
    revoking.readmit(host, options.subject, lambda: record(*said))
    back = "gets back what the rosters say with the next run: sudo backend"
    return say_done(options, f"{options.subject} {back}")


class Narrow(Asked):
    offline: bool = False


def narrow(options: Narrow, host: Host) -> int:
    """Expiries, revocations and keys that GitHub no longer has are carried out. Silent if none."""
    try:
        with lock.only_run(f"{lock.NARROW}, since {history.now()}"):
            run = _narrow(options, host)
    except lock.Busy as busy:  # a run by a person does all of this too
        return told(options, {"done": ""}, [f"nothing was done: {busy}"])
    if run is None:
        return told(options, {"done": ""}, ())
    _show(run)  # without the lock: whoever is to read it may not
    return run.ended()


def _narrow(asked: Narrow, host: Host) -> Run | None:
    """None where no run has ended here yet."""
    backend = load(asked.backend, asked.checkout)
    options = Options(**vars(asked))
    before = applied.read(host, backend)
    if before is None:
        return None
    today = datetime.now(timezone.utc).date()
    now = remaining(before, host, today)
    verdict = keyring.remembered(host) if options.offline else keyring.asked(now, host)
    run = Run(options, host, now, verdict, lambda site: narrowing(before, site, host))
    run.unanswered = list(overdue(now, today))
    with run.taking_note():
        keyring.keep(host, verdict.held)
        host.keep()
    run.plan()
    whose = consent.gains_and_losses(run.outcomes)
    if whose:
        run.record(host, event="people narrow")  # before, as it may be killed
    run.outcomes = list(engine.walk(run.components, host))
    run.exit_code = run.ended()
    if whose:
        with run.taking_note():
            notices.tell(host, f"access has ended: {'; '.join(whose)}")
        run.record(host, event="people narrow")
    run.exit_code = run.ended()  # not being recorded is a failure too
    return run


def _show(run: Run) -> None:
    text = report.Text(colour=sys.stdout.isatty())
    lines = [line for outcome in run.outcomes for line in text.lines(outcome)]
    if run.unrecorded:
        lines += report.sentence(run.unrecorded)
    told(run.options, run.data(), [*lines, *(f"degraded: {d}" for d in run.degraded)])
