"""show: what is declared, or how that differs from another backend's."""

from __future__ import annotations

from typing import Iterator

from backend_server.cli.ending import told
from backend_server.engine import HostReader, report
from backend_server.engine.engine import Component, Outcome
from backend_server.run.backends import declare
from backend_server.run.place import Asked, named_so, site
from backend_server.run.run import chosen
from backend_server.text.releases import RELEASES, Release, named, of_host


# By what became of a resource on the way from another backend to this one.
_ONLY_HERE, _ONLY_THERE = "added", "removed"


class Show(Asked):
    only: tuple[str, ...] = ()
    release: str | None = None
    against: str | None = None


def show(options: Show, host: HostReader) -> int:
    """All that is declared, for this release or any other. Looks at nothing else of the host."""
    os_release = host.os_release()
    if options.release:
        release = named(options.release)
    elif os_release.get("ID") in {known.distribution for known in RELEASES}:
        release = of_host(os_release)
    else:  # a laptop
        release = named("ubuntu 24.04")
    components = declare(site(options, release))
    if options.against is not None:
        return _against(options, options.against, release, components)
    lines = list(report.declared(chosen(components, options.only)))
    return told(options, {"release": release.name, "declared": lines}, lines)


def _against(
    options: Show, name: str, release: Release, ours: tuple[Component, ...]
) -> int:
    """What differs in what two backends declare, as of a host that became this one from that."""
    named_so(name, str(options.checkout))
    theirs = declare(site(options._replace(backend=name), release))
    here = {part.name for part in ours}
    every = (*ours, *(part for part in theirs if part.name not in here))
    names = [part.name for part in chosen(every, options.only)]
    outcomes = [*_compared(ours, theirs)]
    found = [each for part in names for each in outcomes if each.component == part]
    data = {"release": release.name, "against": name, "differs": report.data(found)}
    return told(options, data, _lines(found, options.backend, name, release))


def _compared(
    ours: tuple[Component, ...], theirs: tuple[Component, ...]
) -> Iterator[Outcome]:
    """Whichever component has it there: to a host that is the same."""
    here, there = (
        {r.label: (part.name, r) for part in parts for r in part.resources}
        for parts in (ours, theirs)
    )
    for label, (name, new) in here.items():
        _, old = there.pop(label, ("", None))
        yield Outcome(name, new, report.differing(old, new))
    for name, old in there.values():
        yield Outcome(name, old, report.differing(old, None))


def _lines(found: list[Outcome], us: str, them: str, release: Release) -> Iterator[str]:
    yield (
        f"{us} against {them} on {release.name}: + only {us} has, - only {them} has, "
        f"~ both have, {them} -> {us}"
    )
    text = report.Text(short=(_ONLY_HERE, _ONLY_THERE))
    for outcome in found:
        yield from text.lines(outcome)
    words = {
        "same": "the same",
        _ONLY_HERE: f"only on {us}",
        _ONLY_THERE: f"only on {them}",
        "changed": "different",
    }
    counts = report.counts(found)
    yield ", ".join(f"{counts[k]} {said}" for k, said in words.items() if k in counts)
