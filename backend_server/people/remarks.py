"""What a person should know of the people here, though nothing of it is wrong."""

from __future__ import annotations

from typing import Iterator

from backend_server.checkout.gather import Site, developers, everybody, last_developers
from backend_server.host import HostReader
from backend_server.host.loginuid import person
from backend_server.people import lookalikes, odd_lines, others
from backend_server.people.offers import Verdict


def remarks(site: Site, host: HostReader, verdict: Verdict) -> Iterator[str]:
    """Sentences: names that look alike, keys that are left out, and ways in that hang by one key."""
    yield from odd_lines.notes(host)
    yield from lookalikes.notes(site, host)
    yield from others.notes(site, host)
    for name, left_out in sorted(verdict.left_out.items()):
        for why in left_out:
            yield f"{name} has a key at GitHub that is not let in: {why}"
    none = sorted(name for name in everybody(site.people) if not _keys(site, name))
    if none:
        yield f"no key at all: {', '.join(none)}; nobody can log in as them"
    single = sorted(e.name for e in developers(site) if _keys(site, e.name) == 1)
    if single:
        yield f"one key only: {', '.join(single)}; who loses it cannot log in any more"
    last = sorted(last_developers(site))
    if last:
        yield (
            f"every developer has an end date; {', '.join(last)} will keep access beyond the "
            "last one, as nobody else could look after this host"
        )
    if person(host) == "root" and "root" not in site.backend.provider_accounts:
        yield "you logged in as root, which over ssh is not possible after this run"


def _keys(site: Site, name: str) -> int:
    return len({*site.keys.get(name, ()), *site.github.get(name, ())})
