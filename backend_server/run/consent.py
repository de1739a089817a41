"""Questions that only a person, or --yes, can answer."""

from __future__ import annotations

import contextlib
import sys
from typing import Iterator

from backend_server.engine import Refused, Resource, Value
from backend_server.engine.engine import Outcome
from backend_server.host.question import agreed, answer, say
from backend_server.jobs.listing import NoDocker
from backend_server.jobs.strangers import rivals
from backend_server.people.authorized_keys import NoOtherKeys
from backend_server.people.leavers import Leavers, LostRoles
from backend_server.people.offers import Offer, alarm, says
from backend_server.people.remarks import shut_out
from backend_server.resources import Members, NotMembers, RootEquivalent, User
from backend_server.run.run import Run


def first_run(run: Run, yes: bool) -> None:
    """Somebody agrees to what this machine becomes, or Refused is raised."""
    name = run.site.backend.name
    if run.options.only:
        hint = f"sudo ./{name}/manage.sh"
        raise Refused(f"a machine becomes {name} as a whole; --only is for later", hint)
    for who, root in shut_out(run.site, run.host):
        if root:
            raise Refused(
                f"{who} becomes root by sudo today, and would not get in over ssh any more",
                hint=f"name {who} in provider_accounts of {name}/backend.py, or take the "
                f"rule out: sudo -l -U {who}",
            )
    _no_other_agent(run)
    if yes:
        return
    agreed(
        f"this machine is no backend yet, and nobody is here to confirm that it "
        f"becomes {name}",
        _becomes(run),
        f"Type {name} to go on: ",
        f"the answer was not {name}, so this machine stays what it is",
        wanted=name,
    )


def _no_other_agent(run: Run) -> None:
    """Of two agents each begins what the other ends."""
    with contextlib.suppress(NoDocker):
        names = [each.name for each in rivals(run.site, run.host)]
        if names:
            raise Refused(
                f"another agent would take jobs beside ours: {', '.join(names)}, which has "
                "docker's socket; jobs go on while it is stopped",
                hint=f"docker stop {' '.join(names)}",
            )


def _becomes(run: Run) -> Iterator[str]:
    backend = run.site.backend
    changing = sum(1 for outcome in run.outcomes if outcome.changes)
    yield f"This machine becomes the OpenSAFELY backend {backend.name}: {backend.title}."
    yield f"{changing} things on it will change. `plan` lists them all. Of people:"
    of_people = gains_and_losses(run.outcomes) or ["nobody gains or loses anything"]
    yield from (f"  {line}" for line in (*of_people, *run.remarks, *run.degraded))


def adoption(run: Run, yes: bool) -> None:
    """Somebody agrees that accounts which are here already become ours, or Refused is raised."""
    names = adopted(run.outcomes)
    if not names or yes:
        return
    them = ", ".join(names)
    own, theirs = run.site.keys, run.site.github
    keys = {
        n: ", ".join(map(str, {*own.get(n, ()), *theirs.get(n, ())})) for n in names
    }
    agreed(
        f"{them} would be adopted: an account of that name is on this host already, "
        "and nobody is here to confirm that it belongs to the person on the roster",
        (
            f"{them}: an account of that name is on this host already. It keeps its files",
            "and its password, and from now on opens with these keys:",
            *(f"  {name}: {keys[name] or 'none yet'}" for name in names),
        ),
        "Type yes if it is the same person: ",
    )


def removal(run: Run, yes: bool) -> None:
    """Somebody agrees that more than one person is cut off, or Refused is raised."""
    names, begun = leaving(run.outcomes), ending(run.outcomes)
    if len(names) + len(begun) < 2 or yes:
        return
    them, others = ", ".join(names), (f"{name} loses {what}." for name, what in begun)
    left = f"{them} are on no roster any more: each loses access, sessions included."
    agreed(
        f"{', '.join([*names, *dict(begun)])} would all be cut off at once, and nobody "
        "is here to confirm that",
        (*[left][: len(names)], *others),
        "Type yes if that is so: ",
    )


def offers(run: Run) -> list[str]:
    """Whose further keys at GitHub somebody agrees to; nobody's where nobody is asked."""
    waiting = run.verdict.offers
    if run.options.accept_keys:
        return [offer.name for offer in waiting]
    if not waiting or not sys.stdin.isatty():
        return []
    for line in alarm(run.verdict):
        say(line)
    return [offer.name for offer in waiting if _accepted(offer)]


def _accepted(offer: Offer) -> bool:
    say(f"{says(offer)}.")
    return answer(f"Type yes if {offer.name} told you so: ") == "yes"


def leaving(planned: list[Outcome]) -> list[str]:
    """People with doors open that are to be shut."""
    return sorted({line.partition(":")[0] for line in _to_end(planned, Leavers)})


def ending(planned: list[Outcome]) -> list[tuple[str, str]]:
    """People who stay, and what ends that they began with a role that they lose."""
    found = (line.partition(": ")[::2] for line in _to_end(planned, LostRoles))
    return [(name, what) for name, what in found if not what.startswith("0 ")]


def _to_end(planned: list[Outcome], noun: type[Resource]) -> list[str]:
    """What such nouns have found and will put an end to."""
    found: set[str] = set()
    for outcome in planned:
        for change in outcome.changes if isinstance(outcome.resource, noun) else ():
            found |= _names(change.before)
    return sorted(found)


def _names(value: Value) -> frozenset[str]:
    assert isinstance(value, frozenset)
    return value


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
    for person, begun in ending([outcome]):
        yield person, f"loses {begun}"
    for change in outcome.changes:
        if isinstance(resource, NoOtherKeys):
            for key in sorted(_names(change.before) - _names(change.after)):
                yield resource.user, f"loses {key}"
        if isinstance(resource, User) and change.field == "name":
            yield resource.name, "gets an account"
        if isinstance(resource, User) and change.field == "marker":
            yield resource.name, "has an account here, which becomes ours"
        if isinstance(resource, (Members, NotMembers, RootEquivalent)):
            before, after = _names(change.before), _names(change.after)
            for person in after - before:
                yield person, f"joins {resource.group}"
            for person in before - after:
                yield person, f"leaves {resource.group}"
