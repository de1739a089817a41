"""A run: who asked for what on this host, what came of it, and its line in the history."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Callable, Iterable, Iterator, Mapping, Tuple

from backend_server.checkout.gather import Site, developers, everybody, without
from backend_server.engine import engine, history, report
from backend_server.host import Host, HostReader, revoked
from backend_server.jobs import database
from backend_server.jobs.listing import NoDocker
from backend_server.jobs.strangers import strangers
from backend_server.people import applied, guard, keyring, offers
from backend_server.people.remarks import remarks
from backend_server.resources import package
from backend_server.run.backends import declare
from backend_server.run.beneath import beneath
from backend_server.run.place import Asked, of_host_itself
from backend_server.services import states
from backend_server.services.container_service import ContainerService
from backend_server.text.errors import DEGRADED, FAILED, OK, Refused, UserError
from backend_server.text.parsers import parse_hosts


Components = Tuple[engine.Component, ...]
_REVOKED = "was revoked on this host: sudo backend people readmit {}"


class Options(Asked):
    """What a run is asked."""

    only: tuple[str, ...] = ()
    offline: bool = False
    accept_keys: bool = False
    verbose: bool = False


class Run:
    """What was asked, what is declared for it, and, as it goes on, what came of it."""

    def __init__(
        self,
        options: Options,
        host: HostReader,
        site: Site,
        verdict: offers.Verdict,
        declare: Callable[[Site], Components] = declare,
    ) -> None:
        self.began, self.started = history.now(), time.monotonic()
        self.options, self.host, self.site = options, host, site
        self._declare = declare
        self.out: Mapping[str, str] = {}  # by developer: why they are left out
        self._settle(verdict)
        self.outcomes: list[engine.Outcome] = []
        self.remarks: list[str] = []  # to be read before anything changes
        self.unanswered: list[str] = []
        self.beside: list[str] = []
        self.exit_code: int | None = None  # None until it has ended
        self.context: dict[str, object] = {}  # who, when, from which commit
        self.unrecorded: UserError | None = None
        self.confirmed_by: str | None = None
        self.taken_back: UserError | None = None

    def _settle(self, verdict: offers.Verdict) -> None:
        self.verdict = verdict
        shut = revoked.fingerprints(self.host)
        self.site = keyring.with_keys(self.site, verdict, shut)
        self.components = chosen(self._declare(self.site), self.options.only)
        declared = [r for part in self.components for r in part.wanted(self.host)]
        self.host.watched_units = frozenset(u for r in declared for u in r.asks())
        self.host.resting_units = frozenset(u for r in declared for u in r.rests())
        self.host.watched_names = everybody(self.site.people)

    def plan(self) -> None:
        """`outcomes` are what differs from what is declared."""
        self.outcomes = list(engine.plan(self.components, self.host))
        # Now, not at the end: a new name looks like another until it has an account itself.
        self.remarks = [
            *remarks(self.site, self.host, self.verdict),
            *database.notes(self.site),
            *package.notes(self.host),
        ]

    def accept(self, names: Iterable[str]) -> None:
        """The keys that GitHub offers for these people are declared, and planned, too."""
        self._settle(offers.accept(self.verdict, names, history.now()))
        self.plan()

    def enough_remain(self, whatever_is_offered: bool = False) -> None:
        """Raises Refused where too few could look after this host; some wait for a yes yet."""
        site, verdict = self.site, self.verdict
        if whatever_is_offered:
            names = [offer.name for offer in verdict.offers]
            accepted = offers.accept(verdict, names, self.began)
            site = keyring.with_keys(site, accepted, revoked.fingerprints(self.host))
        guard.enough_remain(site, self.host, verdict=verdict, out=self.out)

    def remember(self, host: Host) -> None:
        """The timer and later runs know the rosters and keys that this run acts on."""
        if {"leavers", "people", "keys"} <= {part.name for part in self.components}:
            with self.taking_note():
                keyring.keep(host, self.verdict.held)
                applied.keep(host, self.site)

    @contextlib.contextmanager
    def taking_note(self) -> Iterator[None]:
        """`unrecorded` is why the first could not be: no reason to leave a door open."""
        try:
            yield
        except UserError as error:
            self.unrecorded = self.unrecorded or error
        except OSError as error:
            self.unrecorded = self.unrecorded or UserError(
                f"what this run did is not all written down: {error.strerror}",
                hint="df -h; df -i; sudo backend status",
            )

    @property
    def failed(self) -> bool:
        outside = engine.unanswered(self.outcomes)
        wrong = any(o.error for o in self.outcomes if o not in outside)
        return wrong or (self.unrecorded or self.taken_back) is not None

    def ended(self) -> int:
        """The exit status of a run that was not refused."""
        if self.failed:
            return FAILED
        return DEGRADED if self.degraded else OK

    @property
    def degraded(self) -> list[str]:
        """A sentence for each thing of the outside world that is not as it should be."""
        unanswered = (str(o.error) for o in engine.unanswered(self.outcomes))
        theirs = offers.degraded(self.verdict)
        below = self.host.once("beneath", lambda: [*beneath(self.site, self.host)])
        unwell = self.host.once("unwell", lambda: [*self._services_unwell()])
        return [*below, *self.beside, *self.unanswered, *theirs, *unanswered, *unwell]

    def _services_unwell(self) -> Iterator[str]:
        """Of a run that is about services: the timer that looks after people knows no images."""
        declared = (r for part in self.components for r in part.resources)
        if any(isinstance(resource, ContainerService) for resource in declared):
            yield from states.degraded(self.site, self.host)
            yield from database.differing(self.site, self.host)

    def look_around(self) -> None:
        """`unanswered` names each endpoint that does not answer; `beside`, who else is at work here."""
        with contextlib.suppress(NoDocker):
            self.beside = list(strangers(self.site, self.host))
        if not self.options.offline:
            from backend_server.run import endpoints

            pinned = parse_hosts(self.site.hosts)
            backend = self.site.backend
            share = (backend.share.endpoint,) if backend.share else ()
            named = (*backend.reaches, *share)
            self.unanswered = endpoints.unanswered(named, pinned)

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
            "remarks": self.remarks,
            "degraded": self.degraded,
            "unrecorded": str(self.unrecorded) if self.unrecorded else None,
            "confirmed": self.confirmed_by,
            "taken_back": str(self.taken_back) if self.taken_back else None,
            "resources": report.data(self.outcomes),
            "duration_s": round(time.monotonic() - self.started, 3),
        }

    def record(self, host: Host, **more: object) -> None:
        """The history has a line that says what is known of this run by now, and `more`."""
        self.context = history.context(host, str(self.options.checkout))
        with self.taking_note():
            history.append(host, {**self.data(), **self.context, **more})
            host.keep()

    def last_line(self, what: str) -> str:
        took = time.monotonic() - self.started
        seconds = f"{took:.1f}" if took >= 1 else f"{took:.2f}"
        clean = self.context.get("clean", True)
        dirty = "" if clean else ", checkout has local changes"
        return f"{what}: {report.totals(self.outcomes)} ({seconds} s){dirty}"


def of_checkout(options: Options, host: HostReader) -> Run:
    """A run for what the checkout declares, without whoever was revoked on this host.

    Raises Refused for every mistake in the checkout, and where too few could look after this
    host afterwards.
    """
    listed = of_host_itself(options, host)
    shut = revoked.names(host)
    found = without(listed, shut, revoked.fingerprints(host))
    asks = not options.offline and (not options.only or "keys" in options.only)
    verdict = keyring.asked(found, host) if asks else keyring.remembered(host)
    nobody = frozenset(verdict.nobody)
    run = Run(options, host, without(found, nobody, frozenset()), verdict)
    developers_of = {entry.name for entry in developers(listed)}
    run.out = {
        **{name: _REVOKED.format(name) for name in sorted(shut & developers_of)},
        **dict.fromkeys(nobody & developers_of, f"has no account: {offers.NOBODY}"),
    }
    run.enough_remain(whatever_is_offered=True)
    return run


def chosen(components: Components, only: tuple[str, ...]) -> Components:
    """The components named by --only, or all. Raises Refused for a name that is none."""
    names = [part.name for part in components]
    unknown = [name for name in only if name not in names]
    if unknown:
        hint = f"choose from {', '.join(names)}"
        raise Refused(f"there is no component {', '.join(unknown)}", hint)
    return tuple(part for part in components if not only or part.name in only)
