"""What the command line can do: each command prints, and returns an exit status."""

from __future__ import annotations

import json
import os
import sys
from typing import Iterable, TextIO

from backend_server import consent, engine, history, modes, people, preflight, report
from backend_server import status as host_status
from backend_server.backends import declare
from backend_server.first_password import set_first_password
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.lock import only_run
from backend_server.progress import Progress
from backend_server.releases import RELEASES, named, of_host
from backend_server.run import Options, Run, chosen, site


OK, FAILED, REFUSED, CHANGES, DEGRADED = range(5)  # the first of 2, 1, 3, 4 that holds


def show(options: Options) -> int:
    """All that is declared, for this release or any other. Looks at nothing else of the host."""
    os_release = HostReader().os_release()
    if options.release:
        release = named(options.release)
    elif os_release.get("ID") in {known.distribution for known in RELEASES}:
        release = of_host(os_release)
    else:  # a laptop
        release = named("ubuntu 24.04")
    components = chosen(declare(site(options, release)), options.only)
    lines = list(report.declared(components))
    if options.json:
        print(json.dumps({"format": 1, "release": release.name, "declared": lines}))
    else:
        _print(lines)
    return OK


def status(options: Options) -> int:
    """What this host is now."""
    host = HostReader()
    this = site(options, of_host(host.os_release()))
    preflight.same_backend(this, host)
    found = host_status.status(this, host)
    if options.json:
        print(json.dumps({"format": 1, **found}))
    else:
        _print(host_status.lines(found))
    return OK


def repair(options: Options) -> int:
    """The data trees' files are open to whom they should be.

    Silent where only recent changes were asked for, and there was none.
    """
    counts = modes.repair(Host(), recent=options.recent)
    if options.json:
        print(json.dumps({"format": 1, **vars(counts)}))
    elif counts.seen or not options.recent:
        print(f"{options.backend} host repair: {counts}")
    return FAILED if counts.failed else OK


def plan(options: Options) -> int:
    """What apply would change. Changes nothing."""
    host = HostReader()
    run = Run(options, host)
    run.outcomes = list(engine.plan(run.components, host))
    run.ask_outside()
    run.exit_code = _plan_exit(run)
    if options.json:
        print(json.dumps(run.data()))
    else:
        text = report.Text(colour=sys.stdout.isatty(), whole=True)
        for outcome in run.outcomes:
            _print(text.lines(outcome))
        _end(run, f"{options.backend} plan", host)
    return run.exit_code


def people_list(options: Options) -> int:
    """Everybody with an account that is ours, or on a roster here."""
    host = HostReader()
    found = list(people.listed(site(options, of_host(host.os_release())), host))
    if options.json:
        print(json.dumps({"format": 1, "people": found}))
    for person in [] if options.json else found:
        rosters = " ".join(people.texts(person["rosters"])) or "on no roster"
        keys = f"{person['keys']} keys, password {person['password']}"
        print(f"{person['name']:<16} {rosters}, {keys}")
    return OK


def people_who(options: Options) -> int:
    """What one account can reach, and why."""
    host = HostReader()
    this = site(options, of_host(host.os_release()))
    found = people.who(this, host, options.user)
    if options.json:
        print(json.dumps({"format": 1, **found}))
    else:
        _print(people.lines(found))
    return OK


def people_root(options: Options) -> int:
    """Everybody who can become root, and each way there."""
    host = HostReader()
    found = list(people.who_is_root(site(options, of_host(host.os_release())), host))
    if options.json:
        print(json.dumps({"format": 1, "people": found}))
    for person in [] if options.json else found:
        _print(f"{person['name']:<16} {way}" for way in people.texts(person["ways"]))
    return OK


def first_password(options: Options) -> int:
    """The person at the terminal has a password, and the history says so."""
    host = Host()
    name = set_first_password(host)
    context = history.context(host, str(options.checkout))
    event = {"format": 1, "event": "first password", "began": history.now()}
    history.append(host, {**event, **context})
    print(f"{name} has a password now: sudo asks for it")
    return OK


def apply(options: Options) -> int:
    """This host is what it is declared to be, and the history says what that took."""
    host = Host()
    preflight.can_be_managed(host)
    who = f"{history.who(host)} with pid {os.getpid()}, since {history.now()}"
    with only_run(who):
        run = Run(options, host)
        run.outcomes = list(engine.plan(run.components, host))
        if engine.refusals(run.outcomes):
            return _refuse(run)
        if preflight.is_first_run(host):
            run.ask_outside()
            consent.first_run(run)
        else:
            consent.adoption(run)
        if any(outcome.changes or outcome.error for outcome in run.outcomes):
            run.record(host)  # so that a run which is killed is in the history too
            _walk(run, host)
        run.exit_code = _apply_exit(run)
        run.record(host)
        run.exit_code = _apply_exit(run)  # not being recorded is a failure too
    if options.json:
        print(json.dumps(run.data()))
    else:
        _end(run, options.backend, host)
    return run.exit_code


def _walk(run: Run, host: Host) -> None:
    progress = Progress(sys.stderr)
    host.say = progress.say
    text = report.Text(colour=sys.stdout.isatty(), whole=run.options.verbose)
    run.outcomes = []
    for outcome in engine.walk(run.components, host, progress.about_to):
        progress.clear()
        run.outcomes.append(outcome)
        if not run.options.json:
            _print(text.lines(outcome))


def _refuse(run: Run) -> int:
    """Nothing was touched, not even the history: this may not be our host."""
    run.outcomes = engine.refusals(run.outcomes)
    run.exit_code = REFUSED
    if run.options.json:
        print(json.dumps(run.data()))
    text = report.Text(colour=sys.stderr.isatty())
    for outcome in run.outcomes:
        _print(text.lines(outcome), sys.stderr)
    print(f"nothing was touched: {report.totals(run.outcomes)}", file=sys.stderr)
    return REFUSED


def _plan_exit(run: Run) -> int:
    if engine.refusals(run.outcomes):
        return REFUSED
    if any(outcome.changes for outcome in run.outcomes) and not _failed(run):
        return CHANGES
    return _apply_exit(run)


def _apply_exit(run: Run) -> int:
    if _failed(run):
        return FAILED
    return DEGRADED if run.degraded else OK


def _failed(run: Run) -> bool:
    return any(o.error for o in run.outcomes) or run.unrecorded is not None


def _end(run: Run, what: str, host: HostReader) -> None:
    if run.unrecorded:
        _print(report.sentence(run.unrecorded))
    _print(f"degraded: {line}" for line in run.degraded)
    if run.options.verbose:
        _print(f"started: {' '.join(argv)}" for argv in host.programs)
    print(run.last_line(what))


def _print(lines: Iterable[str], stream: TextIO | None = None) -> None:
    for line in lines:
        try:
            print(line, flush=True, file=stream)
        except OSError:  # nobody reads on: no reason to leave a run half done
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
