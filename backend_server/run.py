"""A run, from what was asked to its exit status and its line in the history."""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Iterable, NamedTuple, Tuple

from backend_server import consent, endpoints, engine, history, preflight, report
from backend_server.backends import declare, load
from backend_server.engine import Component, Outcome
from backend_server.errors import Refused
from backend_server.gather import Site, gather
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.lock import only_run
from backend_server.parsers import parse_hosts
from backend_server.progress import Progress
from backend_server.releases import RELEASES, Release, named, of_host
from backend_server.status import lines
from backend_server.status import status as status_of


OK, FAILED, REFUSED, CHANGES, DEGRADED = range(5)

Components = Tuple[Component, ...]


class Options(NamedTuple):
    """What was asked for on the command line."""

    backend: str
    checkout: Path
    only: tuple[str, ...] = ()
    json: bool = False
    offline: bool = False
    yes: bool = False
    verbose: bool = False
    release: str | None = None


def show(options: Options) -> int:
    """Prints all that is declared, for this release or any other. Looks at no host."""
    host = HostReader()
    known = host.os_release().get("ID") in {r.distribution for r in RELEASES}
    of_this = of_host(host.os_release()) if known else named("ubuntu 24.04")
    release = named(options.release) if options.release else of_this
    site = _gather(options, release)
    found = list(report.declared(_chosen(declare(site), options.only)))
    if options.json:
        print(json.dumps({"format": 1, "release": release.name, "declared": found}))
    else:
        print("\n".join(found))
    return OK


def status(options: Options) -> int:
    """Prints what this host is now."""
    host = HostReader()
    site = _gather(options, of_host(host.os_release()))
    preflight.same_backend(site, host)
    found = status_of(site, host)
    print(
        json.dumps({"format": 1, **found}) if options.json else "\n".join(lines(found))
    )
    return OK


def plan(options: Options) -> int:
    """Prints what apply would change. Changes nothing."""
    started = time.monotonic()
    host = HostReader()
    site, components = _declared(options, host)
    outcomes = list(engine.plan(components, host))
    degraded = _unanswered(site, options)
    exit_code = _plan_exit(outcomes, degraded)
    if options.json:
        print(json.dumps(_data(options, site, exit_code, outcomes, degraded, started)))
        return exit_code
    text = report.Text(colour=sys.stdout.isatty(), whole=True)
    for outcome in outcomes:
        _print(text.lines(outcome))
    _print(f"degraded: {line}" for line in degraded)
    print(_last_line(site, outcomes, started, verb="plan"))
    return exit_code


def apply(options: Options) -> int:
    """Makes this host what it is declared to be, and says what that took."""
    host = Host()
    preflight.can_be_managed(host)
    holder = f"{history.who(host)} with pid {os.getpid()}, since {history.now()}"
    with only_run(holder):
        return _apply(options, host)


def _apply(options: Options, host: Host) -> int:
    started = time.monotonic()
    site, components = _declared(options, host)
    planned = list(engine.plan(components, host))
    refused = engine.refusals(planned)
    degraded = []
    if not refused and preflight.is_first_run(host):
        degraded = _unanswered(site, options)
        consent.first_run(site, planned, degraded, assume_yes=options.yes)
    if refused:
        outcomes, exit_code = refused, REFUSED
        _print_all(refused, options)
    elif not any(o.changes or o.error for o in planned):
        outcomes, exit_code = planned, _apply_exit(planned, degraded)
    else:
        _record(options, site, host, None, planned, degraded, started)
        outcomes = _walk(components, host, options)
        exit_code = _apply_exit(outcomes, degraded)
    found = _record(options, site, host, exit_code, outcomes, degraded, started)
    if options.json:
        print(json.dumps(found))
    else:
        _print(f"degraded: {line}" for line in degraded)
        print(_last_line(site, outcomes, started, verb=""))
    return exit_code


def _walk(components: Components, host: Host, options: Options) -> list[Outcome]:
    progress = Progress(sys.stderr)
    host.say = progress.say
    text = report.Text(colour=sys.stdout.isatty(), whole=options.verbose)
    outcomes = []
    for outcome in engine.walk(components, host, progress.about_to):
        progress.clear()
        outcomes.append(outcome)
        if not options.json:
            _print(text.lines(outcome))
    if options.verbose:
        progress.say("programs started:")
        for argv in host.programs:
            progress.say("  " + " ".join(argv))
    return outcomes


def _gather(options: Options, release: Release) -> Site:
    backend = load(options.backend, options.checkout)
    today = datetime.now(timezone.utc).date()
    return gather(backend, release, options.checkout, today)


def _declared(options: Options, host: HostReader) -> tuple[Site, Components]:
    site = _gather(options, of_host(host.os_release()))
    preflight.same_backend(site, host)
    preflight.somebody_remains(site)
    components = _chosen(declare(site), options.only)
    host.watched_units = frozenset(
        unit for part in components for r in part.resources for unit in r.asks()
    )
    return site, components


def _chosen(components: Components, only: tuple[str, ...]) -> Components:
    names = [part.name for part in components]
    unknown = [name for name in only if name not in names]
    if unknown:
        raise Refused(
            f"there is no component {', '.join(unknown)}",
            hint=f"choose from {', '.join(names)}",
        )
    return tuple(part for part in components if not only or part.name in only)


def _unanswered(site: Site, options: Options) -> list[str]:
    if options.offline:
        return []
    return endpoints.unanswered(site.backend.endpoints, parse_hosts(site.hosts))


def _plan_exit(outcomes: list[Outcome], degraded: list[str]) -> int:
    if engine.refusals(outcomes):
        return REFUSED
    if any(outcome.error for outcome in outcomes):
        return FAILED
    if any(outcome.changes for outcome in outcomes):
        return CHANGES
    return DEGRADED if degraded else OK


def _apply_exit(outcomes: list[Outcome], degraded: list[str]) -> int:
    if any(outcome.error for outcome in outcomes):
        return FAILED
    return DEGRADED if degraded else OK


def _record(
    options: Options,
    site: Site,
    host: Host,
    exit_code: int | None,
    outcomes: list[Outcome],
    degraded: list[str],
    started: float,
) -> dict[str, object]:
    """The run's line in the history; one without an exit status says that it began."""
    found = _data(options, site, exit_code, outcomes, degraded, started)
    history.append(host, {**found, **history.context(host, str(options.checkout))})
    return found


def _data(
    options: Options,
    site: Site,
    exit_code: int | None,
    outcomes: list[Outcome],
    degraded: list[str],
    started: float,
) -> dict[str, object]:
    return {
        "format": 1,
        "backend": site.backend.name,
        "release": site.release.name,
        "only": list(options.only),
        "exit": exit_code,
        "totals": report.totals(outcomes),
        "degraded": degraded,
        "resources": report.data(outcomes),
        "duration_s": round(time.monotonic() - started, 3),
    }


def _last_line(site: Site, outcomes: list[Outcome], started: float, verb: str) -> str:
    took = time.monotonic() - started
    head = f"{site.backend.name} {verb}".strip()
    return f"{head}: {report.totals(outcomes)} ({took:.1f} s)"


def _print_all(outcomes: list[Outcome], options: Options) -> None:
    text = report.Text(colour=sys.stdout.isatty())
    for outcome in outcomes:
        if not options.json:
            _print(text.lines(outcome))


def _print(found: Iterable[str]) -> None:
    for line in found:
        print(line, flush=True)
