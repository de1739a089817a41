"""plan and apply: what would change, and changing it."""

from __future__ import annotations

import json
import os
import sys
from typing import TextIO

from backend_server.access import confirm
from backend_server.cli.ending import outlive_terminal, say_lines
from backend_server.engine import Resource, engine, history, lock, report
from backend_server.host import Host, HostReader, undo
from backend_server.run import consent, place
from backend_server.run.run import Options, Run, of_checkout
from backend_server.text.errors import CHANGES, REFUSED, UserError


def plan(options: Options, host: HostReader) -> int:
    """What apply would change. Changes nothing."""
    run = of_checkout(options, host)
    run.plan()
    if options.accept_keys:
        _accept(run)
    run.look_around()
    run.exit_code = _plan_exit(run)
    text = report.Text(colour=sys.stdout.isatty(), whole=True)
    for outcome in () if options.json else run.outcomes:
        say_lines(text.lines(outcome))
    _end(run, f"{options.backend} plan", host)
    return run.exit_code


class Apply(Options):
    yes: bool = False
    confirm_within: int = 300  # seconds


def apply(options: Apply, host: Host) -> int:
    """This host is what it is declared to be, and the history says what that took."""
    place.can_be_managed(host)
    who = f"{history.who(host)} with pid {os.getpid()}, since {history.now()}"
    with lock.only_run(who), host.ahead():
        host.begin(host.git_status, str(options.checkout))
        run = of_checkout(options, host)
        run.plan()
        refused = engine.refusals(run.outcomes)
        if not refused:
            _carry_out(run, host, options)
    if refused:  # said without the lock
        return _refuse(run)
    _end(run, options.backend, host)
    return run.ended()


class Progress:
    """One line that is overwritten, on a terminal; elsewhere only what is said lasts."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.shown = False

    def about_to(self, resource: Resource) -> None:
        if self.stream.isatty():
            self.clear()
            self.stream.write(f"... {resource}")
            self.stream.flush()
            self.shown = True

    def say(self, message: str) -> None:
        """A line that stays."""
        self.clear()
        self.stream.write(f"{message}\n")
        self.stream.flush()

    def clear(self) -> None:
        if self.shown:
            self.stream.write("\r\033[K")
            self.shown = False


def _carry_out(run: Run, host: Host, options: Apply) -> None:
    _agree(run, host, options.yes)
    run.remember(host)
    changes = any(outcome.changes or outcome.error for outcome in run.outcomes)
    if changes or undo.kept_together(host):
        _change(run, host, options.confirm_within)
    run.exit_code = run.ended()
    run.record(host)
    run.exit_code = run.ended()  # not being recorded is a failure too


def _agree(run: Run, host: Host, yes: bool) -> None:
    """Somebody has said yes to all that needs a person, or Refused is raised."""
    if place.is_first_run(host):
        run.look_around()
        consent.first_run(run, yes)
    else:
        consent.adoption(run, yes)
        consent.removal(run, yes)
    _accept(run)
    run.enough_remain()


def _accept(run: Run) -> None:
    agreed = consent.offers(run)
    if agreed:
        run.accept(agreed)


def _change(run: Run, host: Host, confirm_within: int) -> None:
    """Goes on without its terminal. What could shut everybody out stays only if somebody comes in
    afterwards, as whoever is back does when the line was cut.
    """
    progress = Progress(sys.stderr)
    host.say = progress.say
    stakes = confirm.AtStake(run.site, host, confirm_within)
    outlive_terminal(run.options)
    run.record(host)  # so that a run which is killed is in the history too
    try:
        _walk(run, host, progress, stakes)
    except BaseException:
        if confirm.take_back(host, run.site.checkout):
            host.say("the old files of sshd, PAM and the firewall are back")
        raise
    try:
        run.confirmed_by = stakes.settle()
    except UserError as error:
        run.taken_back = error


def _walk(run: Run, host: Host, progress: Progress, stakes: confirm.AtStake) -> None:
    def about_to(resource: Resource) -> None:
        progress.about_to(resource)
        stakes.about_to(resource)

    text = report.Text(colour=sys.stdout.isatty(), whole=run.options.verbose)
    run.outcomes = []
    for outcome in engine.walk(run.components, host, about_to):
        progress.clear()
        run.outcomes.append(outcome)
        if not run.options.json:
            say_lines(text.lines(outcome))


def _refuse(run: Run) -> int:
    """Nothing was touched, not even the history: this may not be our host."""
    run.outcomes = engine.refusals(run.outcomes)
    run.exit_code = REFUSED
    if run.options.json:
        print(json.dumps(run.data()))
    text = report.Text(colour=sys.stderr.isatty())
    for outcome in run.outcomes:
        say_lines(text.lines(outcome), sys.stderr)
    print(f"nothing was touched: {report.totals(run.outcomes)}", file=sys.stderr)
    return REFUSED


def _plan_exit(run: Run) -> int:
    if engine.refusals(run.outcomes):
        return REFUSED
    if any(outcome.changes for outcome in run.outcomes) and not run.failed:
        return CHANGES
    return run.ended()


def _end(run: Run, what: str, host: HostReader) -> None:
    if run.options.json:
        print(json.dumps(run.data()))
        return
    for error in filter(None, (run.taken_back, run.unrecorded)):
        say_lines(report.sentence(error))
    if any(outcome.changes for outcome in run.outcomes):
        say_lines(f"note: {line}" for line in run.remarks)
    say_lines(f"degraded: {line}" for line in run.degraded)
    if run.options.verbose:
        say_lines(f"started: {' '.join(argv)}" for argv in host.programs)
    print(run.last_line(what))
