"""The services of this host: how each is, what it lacks, and the images it may need again."""

from __future__ import annotations

import time
from datetime import date
from typing import Iterator, Mapping, Sequence

from backend_server.checkout.gather import Site
from backend_server.checkout.service import CHOICES, SECRETS, Service
from backend_server.engine import Host, HostReader, Refused, UserError, history
from backend_server.host.mounts import is_mounted
from backend_server.services import agent, choices, environment, followed, switching
from backend_server.services.component import image, trees
from backend_server.services.trees import unlike
from backend_server.text.frozen import Frozen


_EVERY = ("JOB_LOOP_INTERVAL", "STATS_POLL_INTERVAL")  # so often the agent asks, twice
# Fewer restarts are one bad moment of the controller, which nobody need look at.
_OFTEN = 3
_RECENT_S = 300  # what ended often meanwhile may end again
_STOPPED = (0, 143)  # how it ends where it is told to
_UP = ("active", "activating", "deactivating")  # the last also where it ends by itself
_LINES = 20  # of a traceback, and of the start after it
_OLD_DAYS = 14  # the controller moves on several times a month


class State(Frozen):
    """A service as it is now. docs/json.md says what each means."""

    name: str
    state: str  # running, restarting, stopped, not started
    digest: str
    created: str
    since: str | None
    restarts: int
    exit_status: int | None
    last_line: str
    polls: bool
    last_poll: str | None
    silent_since: str | None
    erring: tuple[agent.Erring, ...]
    lacks: tuple[str, ...]
    notes: tuple[str, ...]


def known(site: Site, name: str) -> Service:
    """The service of this name. Raises Refused where there is none."""
    found = {each.name: each for each in site.services}
    if name not in found:
        names = ", ".join(found)
        raise Refused(f"there is no service {name!a}", hint=f"choose from {names}")
    return found[name]


def states(site: Site, host: HostReader) -> tuple[State, ...]:
    return tuple(state(site, host, each) for each in site.services)


def state(site: Site, host: HostReader, service: Service) -> State:
    """What systemd says, and where it is the agent what its log says, or its connections."""
    unit = host.unit(service.unit)
    reference = choices.settings(host, service.name).image
    word = _word(unit) if reference else "not started"
    up = switching.running_s(unit)
    log = host.starts_and_ends(service.unit) if reference and up < _RECENT_S else []
    word = "restarting" if word == "running" and _goes_on(log, up) else word
    seen = agent.Seen()
    if service.docker and word in ("running", "restarting"):
        seen = agent.look(host, service.name, up, *(_every(host, e) for e in _EVERY))
    word = "running" if seen.erring else word
    loop = word == "restarting"
    said = host.last_words(service.unit, service.name, _LINES) if loop else []
    digest = reference.partition("@")[2]
    made = switching.created(host.docker_object(reference) if reference else {})
    notes = [*followed.notes(site, host, service.name, digest)]
    notes += old(service.name, made) if service.docker else []
    withheld = environment.now(host, service.secrets, service.others).withheld
    notes += [f"has nothing of {each}: telemetry is not declared" for each in withheld]
    ends = [status for status, _ in log if status is not None]
    asks = service.docker and not seen.silent_s
    poll = seen.answer or (_last_poll(log) if asks else 0)
    return State(
        name=service.name,
        state=word,
        digest=digest,
        created=made,
        since=history.now(ago_s=up) if up and not loop else None,
        restarts=int(unit.get("NRestarts") or 0),
        exit_status=ends[-1] if loop and ends else None,
        last_line=agent.why_ended(said),
        polls=service.docker,
        last_poll=history.at(poll) if poll else None,
        silent_since=history.now(ago_s=seen.silent_s) if seen.silent_s else None,
        erring=seen.erring,
        lacks=tuple(lacks(site, host, service)),
        notes=tuple(notes),
    )


def old(name: str, made: str) -> Iterator[str]:
    """A sentence where an image was made long ago. One that says 1970 says nothing."""
    today = date.fromisoformat(history.now()[:10])
    days = (today - date.fromisoformat(made)).days if made > "2000" else 0
    if days > _OLD_DAYS:
        yield f"its image is {days} days old; sudo backend service update {name}"


def noted(found: State) -> Mapping[str, object]:
    """As JSON has it."""
    return {**found._asdict(), "erring": [each._asdict() for each in found.erring]}


def lines(found: State) -> Iterator[str]:
    """A service in one line, for a terminal, and what there is to know of it."""
    since = f"since {found.since}" if found.since else ""
    poll = f"last poll {found.last_poll}" if found.last_poll else ""
    if found.since and found.polls and not poll:
        poll = "no sign of a poll"
    digest = found.digest[: len("sha256:") + 12] if found.digest else "no image"
    made = f"of {found.created}" if found.created else ""
    words = (f"{found.name:<12}", f"{found.state:<11}", digest, made, since, poll)
    yield " ".join(filter(None, words))
    yield from (f"{found.name:<12} note: {note}" for note in found.notes)


def _word(unit: Mapping[str, str]) -> str:
    """Between two ends of a loop the unit is up for a moment, which is no running."""
    # Before 254 it is inactive for a moment when its pause is over, and then has a job.
    if unit.get("ActiveState") not in _UP and not unit.get("Job"):
        return "stopped"
    again = int(unit.get("NRestarts") or 0) > 0
    fresh = switching.running_s(unit) < agent.FRESH_S
    return "restarting" if again and fresh else "running"


def _goes_on(log: Sequence[tuple[int | None, int]], up: float) -> bool:
    """Whether it ended often a moment ago, and is not up for much longer than it was then.

    What was before somebody stopped it counts no more, and one long run among short ones neither.
    """
    runs: list[float] = []
    recent = (time.time() - _RECENT_S) * 1e6
    for (start, began), (end, ended) in zip(log, log[1:]):
        if end in _STOPPED:
            runs = []
        elif start is None and end is not None and ended > recent:
            runs.append((ended - began) / 1e6)
    return len(runs) >= _OFTEN and up < 2 * sorted(runs[-_OFTEN:])[1]


def loop_s(host: HostReader) -> float:
    """So often the agent asks for tasks."""
    return _every(host, _EVERY[0])


def _every(host: HostReader, name: str) -> float:
    """The seconds that the agent's environment says; where that is no number, many."""
    try:
        return float(environment.now(host).values.get(name, ""))
    except ValueError:
        return 30


def _last_poll(log: list[tuple[int | None, int]]) -> float:
    """When it ended with the first poll that failed, after a run that had others; 0: not known."""
    began, last = None, 0.0
    for status, at in log:
        if status is None:
            began = at
        elif began is not None and at - began >= agent.FRESH_S * 1e6:
            last = at / 1e6
    return last


def lacks(site: Site, host: HostReader, service: Service) -> Iterator[str]:
    """A sentence for each thing without which it is not started, with what mends it."""
    locked = site.images.get(service.name, "")
    if not choices.digest(host, service.name, locked):
        yield (
            f"{service.name} has no image: neither {site.backend.name}/images.lock nor "
            f"{CHOICES} names one; sudo backend service update {service.name}"
        )
    if service.disk and not is_mounted(host, service.disk):
        yield (
            f"{service.name} does not run while nothing is mounted at {service.disk}; "
            f"sudo mount {service.disk} && sudo backend"
        )
    found = environment.now(host, service.secrets, service.others)
    yield from map(str, found.problems)
    for name in found.missing:
        yield (
            f"{service.name} has no value for {name} in {SECRETS}; "
            f"sudo backend service secrets set {name}"
        )


def degraded(site: Site, host: HostReader, of: Sequence[State] = ()) -> Iterator[str]:
    """What keeps services from running, or makes them start again and again.

    And of these what keeps them from work.
    """
    known = {each.name: each for each in of}
    for each in site.services:
        missing = tuple(lacks(site, host, each))
        yield from missing
        often = int(host.unit(each.unit).get("NRestarts") or 0) >= _OFTEN
        if not missing and (often or each.name in known):
            yield from _unwell(known.get(each.name) or state(site, host, each))
        if each.name in known:
            for place in unlike(host, each.name, trees(each)):
                yield (
                    f"{each.name} does not see at {place} what is mounted here; sudo backend "
                    f"service restart {each.name}"
                )
        yield from followed.degraded(site, host, each.name)


def _unwell(found: State) -> Iterator[str]:
    yield from (f"{found.name}: {each}" for each in found.erring)
    errors = (found.last_line, *(each.error for each in found.erring))
    if agent.unknown_field(*errors):
        yield (
            f"{found.name} is older than its controller, and does not know its field "
            f"{agent.unknown_field(*errors)!r}; sudo backend service update {found.name}"
        )
    if any(w in found.last_line for w in ("has expired", "is not yet valid")):
        yield f"{found.name} trusts none by this host's clock, {history.now()}; timedatectl"
    if found.silent_since:
        yield (
            f"{found.name} has had no answer from the controller since "
            f"{found.silent_since} and waits for it without end; sudo backend service "
            f"restart {found.name}"
        )
    if found.restarts >= _OFTEN and found.state == "restarting":
        last = f"; it said: {found.last_line}" if found.last_line else ""
        poll = f", last good poll {found.last_poll or 'none that is known of'}"
        poll *= found.polls
        yield (
            f"{found.name} starts again and again: {found.restarts} times, exit status "
            f"{found.exit_status}{poll}{last}"
        )


def images_in_use(site: Site, host: HostReader) -> frozenset[str]:
    """NAME@DIGEST of every image that a service runs at, came from, or will be started at."""
    found = set()
    for each in site.services:
        locked = site.images.get(each.name, "")
        digests = {locked, choices.digest(host, each.name, locked)} - {""}
        found |= {f"{image(site.backend, each)}@{digest}" for digest in digests}
        settings = choices.settings(host, each.name)
        found |= {settings.image, settings.previous} - {""}
    return frozenset(found)


def prove(host: Host, service: Service) -> None:
    """The service stays up for its `steady_s` seconds from now, or UserError says why not."""
    this = switching.started(host, service.name)
    if not switching.steady(host, service.name, service.steady_s, this):
        raise UserError(
            f"{service.name} did not stay up for {service.steady_s} s",
            hint=switching.last_words(host, service.name, this),
        )
