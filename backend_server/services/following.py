"""A service whose image moves by itself with a tag: looked for, tried, and taken back."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import Iterator

from backend_server.checkout import Service, Site
from backend_server.engine import Host, history, notices
from backend_server.people import https
from backend_server.services import choices, followed, states, switching, updating
from backend_server.services.agent import unanswered
from backend_server.services.states import State
from backend_server.services.updating import Update
from backend_server.text.errors import DEGRADED, Refused, UserError
from backend_server.text.parsers import parse_hosts


class WentBack(UserError):
    """What ran before runs again, and `status` says why."""

    exit_code = DEGRADED


HOW = "service follow"
_OFTEN = 3  # so many ends while it is on trial, and it goes back


def hold(site: Site, host: Host, name: str, why: str) -> str:
    """It stays at what it runs at, until somebody lets it go on."""
    followed.of(site, name)
    done = f"follows no tag any more: {why}"
    said = _told(site, host, "service hold", name, done, why)
    followed.hold(host, name, why)  # which says by whom and why, too
    return said


def let_go(site: Site, host: Host, name: str) -> str:
    said = _told(site, host, HOW, name, f"follows {followed.of(site, name).tag} again")
    followed.release(host, name)
    return said


def due(site: Site, host: Host, service: Service) -> tuple[Update | None, str]:
    """What its tag means now, the image being here; or None, and why there is nothing to do."""
    name, tag = service.name, followed.of(site, service.name).tag
    now = states.state(site, host, service)
    if _stays(host, now):
        return None, _stays(host, now)
    kept = followed.kept(host, name)
    if kept.trial and kept.trial == now.digest:
        often = now.state == "restarting" and now.restarts >= _OFTEN
        if often and choices.settings(host, name).previous:
            # It may be its controller that was away, and still is, or not any more.
            away, loop_s = _away(site), states.loop_s(host)
            if not away and unanswered(host, name, loop_s):
                return updating.back(site, host, service)._replace(returns=True), ""
            return None, f"{name} is on trial, and the controller {away or 'answers'}"
        if not followed.on_trial(host, name, kept.trial):
            done = f"has prepared its first job at {kept.trial}"
            said = _told(site, host, HOW, name, done)
            followed.keep(host, name, kept._replace(trial=""))
            return None, said
    found = updating.find(site, host, service, tag)
    if found.after in (found.before, kept.refused):
        return None, f"{name} finds nothing newer than {found.after}"
    return found, ""


def carry_out(site: Site, host: Host, service: Service, found: Update) -> str:
    """It runs at that and has asked its controller twice, or is as before and UserError says why.

    What did not prove itself waits for the next, where the one before was well: else it may
    have been something else's fault.
    """
    name, before = service.name, states.state(site, host, service)
    if _stays(host, before):  # by what somebody did while it was pulled
        return _stays(host, before)
    kept = followed.kept(host, name)

    def doubt() -> str:
        held = followed.held(host, name)
        if held or not service.docker:  # others ask nobody
            return held
        return unanswered(host, name, states.loop_s(host))

    def note() -> None:
        trial = found.after if service.docker else ""  # others have no first job
        new = followed.Kept(trial=trial, since=switching.started(host, name).at)
        old = kept._replace(refused=kept.trial, why=before.last_line, trial="")
        followed.keep(host, name, old if found.returns else new)

    try:
        with _watched(site) as away:
            of = (site, host, service, found, HOW)
            return updating.carry_out(*of, doubt=doubt, also=note)[0]
    except Refused:  # nothing was tried
        raise
    except UserError as error:
        # Of one that asks no controller it says nothing whether that answers.
        excuse = before.silent_since or (service.docker and away)
        well = before.state == "running" and not excuse
        if well and not followed.held(host, name):
            why = (error.hint or str(error)).splitlines()[-1]
            followed.keep(host, name, kept._replace(refused=found.after, why=why))
        raise WentBack(str(error), error.hint) from None


@contextlib.contextmanager
def _watched(site: Site) -> Iterator[list[str]]:
    """Gives a word for each time that the controller did not answer this host meanwhile."""
    away: list[str] = []
    over = threading.Event()

    def look() -> None:
        # They are for the thread that holds them back where a trial ends: signal(7).
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while not over.wait(1):
            away.extend(filter(None, [_away(site)]))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield away
    finally:
        over.set()
        watcher.join()


def _away(site: Site) -> str:
    """Why the controller would answer no agent; empty: it would, and misses the token now."""
    there = https.Site(site.backend.controller, parse_hosts(site.hosts))
    try:
        there.text(f"{site.backend.name}/tasks/", 0, patience_s=5)
    except https.NoText as error:
        return "" if error.status == 401 else str(error)
    return "does not ask who asks"


def _stays(host: Host, now: State) -> str:
    """Why nothing is to be tried; empty: something may be."""
    held = followed.held(host, now.name)
    if held or now.state == "stopped":
        return f"{now.name} follows no tag: {f'held by {held}' if held else 'stopped'}"
    return ""


def _told(site: Site, host: Host, how: str, name: str, done: str, why: str = "") -> str:
    sentence = f"{name} {done}, by {history.who(host)}"
    notices.event(host, site.checkout, how, sentence, subject=name, why=why)
    return sentence
