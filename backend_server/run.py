"""A run: who asked for what on this host, what came of it, and its line in the history."""

from __future__ import annotations

import os
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple, Tuple

from backend_server import endpoints, guard, history, preflight, report
from backend_server.backends import declare, load
from backend_server.engine import Component, Outcome
from backend_server.errors import Refused, UserError
from backend_server.gather import Site, everybody, gather
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.parsers import parse_hosts
from backend_server.releases import Release, of_host


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
    user: str = ""
    root: bool = False
    recent: bool = False


class Run:
    """What was asked, what is declared for it, and, as it goes on, what came of it."""

    def __init__(self, options: Options, host: HostReader) -> None:
        """Raises Refused for every mistake in the checkout, and on another backend's host."""
        self.began, self.started = history.now(), time.monotonic()
        self.options = options
        self.site = site(options, of_host(host.os_release()))
        preflight.same_backend(self.site, host)
        guard.somebody_remains(self.site, host)
        self.components = chosen(declare(self.site), options.only)
        host.watched_units = frozenset(
            unit
            for part in self.components
            for resource in part.resources
            for unit in resource.asks()
        )
        host.watched_names = everybody(self.site.people)
        self.outcomes: list[Outcome] = []
        self.degraded: list[str] = []
        self.exit_code: int | None = None  # None until it has ended
        self.context: dict[str, object] = {}  # who, when, from which commit
        self.unrecorded: UserError | None = None

    def ask_outside(self) -> None:
        """`degraded` names each endpoint of the backend that does not answer."""
        if not self.options.offline:
            pinned = parse_hosts(self.site.hosts)
            named = self.site.backend.endpoints
            self.degraded = endpoints.unanswered(named, pinned)

    def data(self) -> dict[str, object]:
        """The run for a program; docs/json.md says what each key means."""
        return {
            "format": 1,
            "backend": self.site.backend.name,
            "release": self.site.release.name,
            "only": list(self.options.only),
            "began": self.began,
            "pid": os.getpid(),
            "exit": self.exit_code,
            "totals": report.counts(self.outcomes),
            "degraded": self.degraded,
            "unrecorded": str(self.unrecorded) if self.unrecorded else None,
            "resources": report.data(self.outcomes),
            "duration_s": round(time.monotonic() - self.started, 3),
        }

    def record(self, host: Host) -> None:
        """The history has a line that says what is known of this run by now.

        `unrecorded` is why it has none.
        """
        self.context = history.context(host, str(self.options.checkout))
        try:
            history.append(host, {**self.data(), **self.context})
        except UserError as error:  # no reason to leave a door open that is to be shut
            self.unrecorded = error

    def last_line(self, what: str) -> str:
        took = time.monotonic() - self.started
        seconds = f"{took:.1f}" if took >= 1 else f"{took:.2f}"
        dirty = (
            "" if self.context.get("clean", True) else ", checkout has local changes"
        )
        return f"{what}: {report.totals(self.outcomes)} ({seconds} s){dirty}"


def site(options: Options, release: Release) -> Site:
    """What the checkout says of the backend that was asked for."""
    backend = load(options.backend, options.checkout)
    today = datetime.now(timezone.utc).date()
    return gather(backend, release, options.checkout, today)


def chosen(components: Components, only: tuple[str, ...]) -> Components:
    """The components named by --only, or all. Raises Refused for a name that is none."""
    names = [part.name for part in components]
    unknown = [name for name in only if name not in names]
    if unknown:
        raise Refused(
            f"there is no component {', '.join(unknown)}",
            hint=f"choose from {', '.join(names)}",
        )
    return tuple(part for part in components if not only or part.name in only)
