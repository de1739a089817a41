"""Check everything, then change what differs, looking again after each change."""

from __future__ import annotations

import errno
import posixpath
from typing import Callable, Iterable, Iterator, NamedTuple

from backend_server.engine.resource import Resource
from backend_server.host import Host, HostReader
from backend_server.text.change import Changes, brief
from backend_server.text.errors import OutsideWorld, Refused, UserError
from backend_server.text.frozen import Frozen


class Component(Frozen):
    """A capability: resources in the order of work, and the components it cannot do without.

    Where `device` is given, nothing of it is wanted on machines that have no such device.
    """

    name: str
    resources: tuple[Resource, ...]
    needs: tuple[str, ...] = ()
    device: str = ""

    def wanted(self, host: HostReader) -> tuple[Resource, ...]:
        there = not self.device or host.stat(self.device) is not None
        return self.resources if there else ()


def component(
    name: str,
    resources: Iterable[Resource],
    needs: tuple[str, ...] = (),
    device: str = "",
) -> Component:
    return Component(name, tuple(resources), needs, device)


class Outcome(NamedTuple):
    """What became of one resource. Without changes and error it was as declared."""

    component: str
    resource: Resource
    changes: Changes = ()
    error: UserError | None = None
    reached: bool = True


def well_formed(components: Iterable[Component]) -> None:
    """Raise Refused where a declaration contradicts itself, naming the resources.

    Two resources decide one fact; or one lies inside another that is no directory; or a
    directory comes after its content, whose way there apply would have made already.
    """
    resources = [(part, r) for part in components for r in part.resources]
    _one_owner_each(resources)
    owners = {fact: r for _, r in resources for fact in r.owns()}
    above: dict[str, Resource] = {}
    for _, resource in resources:
        for fact in resource.owns():
            if fact in above:
                raise Refused(
                    f"{resource} is declared after {above[fact]}, which is inside it",
                    hint="declare the directory first",
                )
            for folder in _ancestors(fact):
                if folder in above:
                    break  # and so are those above it
                above[folder] = resource
                if folder in owners and not owners[folder].holds_others:
                    raise Refused(
                        f"{resource} is inside {owners[folder]}, which is no directory",
                        hint="declare a Directory there, or another path",
                    )


def _one_owner_each(resources: Iterable[tuple[Component, Resource]]) -> None:
    owners: dict[str, list[tuple[Component, Resource]]] = {}
    for part, resource in resources:
        for fact in resource.owns():
            owners.setdefault(fact, []).append((part, resource))
    twice = [
        f"{fact}: {', '.join(f'{part.name}: {resource}' for part, resource in who)}"
        for fact, who in owners.items()
        if who[1:]
    ]
    if twice:
        hint = "declare each fact in one component only"
        raise Refused("two resources decide the same fact\n" + "\n".join(twice), hint)


def _ancestors(fact: str) -> Iterator[str]:
    """The directories above a path; other facts have none."""
    while fact.startswith("/") and len(fact) > 1:
        fact = fact.rpartition("/")[0]
        yield fact or "/"


def plan(components: Iterable[Component], host: HostReader) -> Iterator[Outcome]:
    """What differs, in declared order. Nothing is touched.

    Each check sees, through `host.planned`, what the ones before it will have changed.
    """
    host.forget_plan()
    wanted = [(part.name, r) for part in components for r in part.wanted(host)]
    with host.one_look():
        for _, resource in wanted:
            resource.foresee(host)
        # Looked at while the programs that were begun are at work.
        alone = (n for n, (_, resource) in enumerate(wanted) if _alone(resource))
        early = {n: _look(*wanted[n], host) for n in alone}
        changed = False
        for n, (name, resource) in enumerate(wanted):
            # A change is seen by the checks after it.
            outcome = None if changed else early.get(n)
            outcome = outcome or _look(name, resource, host)
            if outcome.changes:
                changed = True
                host.expect(resource.label, outcome.changes, resource.notifies())
            yield outcome


def _alone(resource: Resource) -> bool:
    """Whether its check asks no program that was begun."""
    asks = resource.asks() or resource.rests()
    return not asks and type(resource).foresee is Resource.foresee


def walk(
    components: Iterable[Component],
    host: Host,
    about_to: Callable[[Resource], None] = lambda resource: None,
) -> Iterator[Outcome]:
    """Make it so, in declared order.

    A failure ends its component and those that need it, unless the resource stands alone or
    somebody else's machine is silent, which leaves the last good state; all others still get
    their turn.
    `about_to` is called before a resource is changed.
    """
    host.forget_plan()
    failed: set[str] = set()
    for part in components:
        if failed.intersection(part.needs):
            failed.add(part.name)
        for resource in part.wanted(host):
            if part.name in failed:
                yield Outcome(part.name, resource, reached=False)
                continue
            outcome = _settle(part.name, resource, host, about_to)
            alone = resource.stands_alone() or unanswered((outcome,))
            if outcome.error and not alone:
                failed.add(part.name)
            yield outcome


def _look(part: str, resource: Resource, host: HostReader) -> Outcome:
    try:
        return Outcome(part, resource, resource.check(host))
    except UserError as error:
        return Outcome(part, resource, error=error)
    except OSError as error:
        return Outcome(part, resource, error=_from_the_kernel(resource, error))


def _settle(
    part: str, resource: Resource, host: Host, about_to: Callable[[Resource], None]
) -> Outcome:
    changes: Changes = ()
    try:
        changes = resource.check(host)
        if changes:
            about_to(resource)
            for unit in resource.notifies():
                host.mark_pending(unit, resource.label)
            resource.apply(host, changes)
            _second_look(resource, host)
    except OutsideWorld as error:
        return Outcome(part, resource, changes, error)
    except UserError as error:
        # Refused means that nothing was touched, which by now cannot be said.
        return Outcome(part, resource, changes, UserError(str(error), error.hint))
    except OSError as error:
        return Outcome(part, resource, changes, _from_the_kernel(resource, error))
    return Outcome(part, resource, changes)


def _second_look(resource: Resource, host: Host) -> None:
    left = resource.check(host)
    if left:
        still = (f"{c.field} is {brief(c.before)}, not {brief(c.after)}" for c in left)
        raise UserError(
            f"{resource} still differs after it was changed: {'; '.join(still)}",
            hint="something else on this host changes it back, or the change had no effect",
        )


def _from_the_kernel(resource: Resource, error: OSError) -> UserError:
    where = f" ({error.filename})" if error.filename else ""
    hint = "df -h; df -i; sudo backend status"  # no file is half written
    paths = [fact for fact in resource.owns() if fact.startswith("/")]
    if error.errno == errno.EPERM and paths:
        # Root may do all but what chattr(1) forbids.
        hint = f"chattr -ia {posixpath.dirname(paths[0])} {paths[0]}"
    what = f"{resource} could not be looked at or changed: {error.strerror}{where}"
    return UserError(what, hint=hint)


def unanswered(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """What is as it was, because somebody else's machine did not give what was wanted."""
    return [o for o in outcomes if isinstance(o.error, OutsideWorld)]


def refusals(outcomes: Iterable[Outcome]) -> list[Outcome]:
    return [o for o in outcomes if isinstance(o.error, Refused)]
