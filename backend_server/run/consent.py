"""Questions that only a person, or --yes, can answer."""

from __future__ import annotations

import sys
from typing import Iterator

from backend_server.engine import Outcome
from backend_server.errors import Refused
from backend_server.jobs import Job
from backend_server.offers import Offer, alarm, says
from backend_server.resources import (
    Leavers,
    Members,
    NoOtherKeys,
    NotMembers,
    RootEquivalent,
    User,
)
from backend_server.run import Run


def first_run(run: Run) -> None:
    """Somebody agrees to what this machine becomes, or Refused is raised."""
    backend = run.site.backend
    name = backend.name
    if run.options.only:
        raise Refused(
            f"a machine becomes {name} as a whole; --only is for later",
            hint=f"sudo ./{name}/manage.sh",
        )
    if run.options.yes:
        return
    if not sys.stdin.isatty():
        raise Refused(
            f"this machine is no backend yet, and nobody is here to confirm that it "
            f"becomes {name}",
            hint="run this on a terminal, or answer beforehand with --yes",
        )
    changing = sum(1 for outcome in run.outcomes if outcome.changes)
    _say(f"This machine becomes the OpenSAFELY backend {name}: {backend.title}.")
    _say(f"{changing} things on it will change. `plan` lists them all. Of people:")
    for line in gains_and_losses(run.outcomes) or ["nobody gains or loses anything"]:
        _say(f"  {line}")
    for line in (*run.remarks, *run.degraded):
        _say(f"  {line}")
    if _answer(f"Type {name} to go on: ") != name:
        raise Refused(f"the answer was not {name}, so this machine stays what it is")


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _answer(question: str) -> str:
    """What was typed; nothing at the end of input. Standard output is left to --json."""
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()


def yes(sentence: str, question: str) -> None:
    """Somebody at the terminal agrees, or Refused is raised."""
    _say(sentence)
    if _answer(question) != "yes":
        raise Refused("the answer was not yes; nothing was changed")


def adoption(run: Run) -> None:
    """Somebody agrees that accounts which are here already become ours, or Refused is raised."""
    names = adopted(run.outcomes)
    if not names or run.options.yes:
        return
    them = ", ".join(names)
    if not sys.stdin.isatty():
        raise Refused(
            f"{them} would be adopted: an account of that name is on this host already, "
            "and nobody is here to confirm that it belongs to the person on the roster",
            hint="run this on a terminal, or answer beforehand with --yes",
        )
    _say(f"{them}: an account of that name is on this host already. It keeps its files")
    _say("and its password, and from now on opens with these keys:")
    for name in names:
        keys = ", ".join(map(str, run.site.keys.get(name, ()))) or "none"
        _say(f"  {name}: {keys}")
    if _answer("Type yes if it is the same person: ") != "yes":
        raise Refused("the answer was not yes; nothing was changed")


def removal(run: Run) -> None:
    """Somebody agrees that more than one person loses access, or Refused is raised."""
    names = leaving(run.outcomes)
    if len(names) < 2 or run.options.yes:
        return
    them = ", ".join(names)
    if not sys.stdin.isatty():
        raise Refused(
            f"{them} would all lose their access at once, and nobody is here to confirm that",
            hint="run this on a terminal, or answer beforehand with --yes",
        )
    _say(f"{them} are on no roster any more: each loses access, sessions included.")
    if _answer("Type yes if all of them left: ") != "yes":
        raise Refused("the answer was not yes; nothing was changed")


def offers(run: Run) -> list[str]:
    """Whose further keys at GitHub somebody agrees to; nobody's where nobody is asked."""
    waiting = run.verdict.offers
    if run.options.accept_keys:
        return [offer.name for offer in waiting]
    if not waiting or not sys.stdin.isatty():
        return []
    for line in alarm(run.verdict):
        _say(line)
    return [offer.name for offer in waiting if _accepted(offer)]


def kill(job: Job, *, yes: bool) -> None:
    """Somebody agrees that a job loses what it has done so far, or Refused is raised."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused(
            f"job {job.id} would lose what it has done so far, and nobody is here to "
            "confirm that",
            hint="run this on a terminal, or answer beforehand with --yes",
        )
    _say(f"{job}. It loses what it has done so far, and ends as failed.")
    if _answer("Type yes to kill it: ") != "yes":
        raise Refused("the answer was not yes; it runs on")


def _accepted(offer: Offer) -> bool:
    _say(f"{says(offer)}.")
    return _answer(f"Type yes if {offer.name} told you so: ") == "yes"


def leaving(planned: list[Outcome]) -> list[str]:
    """People with doors open that are to be shut."""
    found: set[str] = set()
    for outcome in planned:
        if isinstance(outcome.resource, Leavers):
            for change in outcome.changes:
                assert isinstance(change.before, frozenset)
                found.update(line.partition(":")[0] for line in change.before)
    return sorted(found)


def adopted(planned: list[Outcome]) -> list[str]:
    """Accounts that are here and will be ours."""
    return [
        outcome.resource.name
        for outcome in planned
        if isinstance(outcome.resource, User)
        and [change.field for change in outcome.changes][:1] == ["marker"]
    ]


def gains_and_losses(planned: list[Outcome]) -> list[str]:
    """A line for each person: what they get here, and what they lose."""
    found: dict[str, list[str]] = {}
    for outcome in planned:
        for person, what in _of(outcome):
            found.setdefault(person, []).append(what)
    return [f"{person}: {', '.join(what)}" for person, what in sorted(found.items())]


def _of(outcome: Outcome) -> Iterator[tuple[str, str]]:
    resource = outcome.resource
    for person in leaving([outcome]):
        yield person, "loses every way in"
    for change in outcome.changes:
        if isinstance(resource, NoOtherKeys):
            assert isinstance(change.before, frozenset)
            assert isinstance(change.after, frozenset)
            for key in sorted(change.before - change.after):
                yield resource.user, f"loses {key}"
        if isinstance(resource, User) and change.field == "name":
            yield resource.name, "gets an account"
        if isinstance(resource, User) and change.field == "marker":
            yield resource.name, "has an account here, which becomes ours"
        if isinstance(resource, (Members, NotMembers, RootEquivalent)):
            before, after = change.before, change.after
            assert isinstance(before, frozenset)
            assert isinstance(after, frozenset)
            for person in after - before:
                yield person, f"joins {resource.group}"
            for person in before - after:
                yield person, f"leaves {resource.group}"
