"""What a backend's backend.py says, judged before anything is done with it. Pure."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Iterator

from backend_server.checkout.backend import Backend
from backend_server.text import networks
from backend_server.text.parsers import parse_hosts
from backend_server.text.problem import Problem


_DAY = r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"


def problems(backend: Backend, today: date) -> list[Problem]:
    """Every setting that nothing could be made of."""
    said = [*_follows(backend, today), *_places(backend), *_desktop(backend)]
    said += _of_agent(backend)
    said += backend.share.problems() if backend.share else ()
    return [Problem(f"{backend.name}/backend.py", 0, why) for why in said]


def unpinned(backend: Backend, hosts: str) -> list[Problem]:
    """Containers have no name server, and this host none it need trust: names are in hosts(5)."""
    source, pinned = f"{backend.name}/backend.py", parse_hosts(hosts)
    reached = (*backend.reaches, *backend.routes)
    named = [("endpoint", each.partition(":")[0]) for each in reached]
    if backend.share and not networks.is_address(backend.share.server):
        named.append(("share", backend.share.server))
    return [
        Problem(source, 0, f"{what} {name} has no line in {backend.name}/hosts")
        for what, name in named
        if name not in pinned
    ]


def _follows(backend: Backend, today: date) -> Iterator[str]:
    """Somebody answers for what moves by itself, and there is an end to it."""
    last = (today + timedelta(days=366)).isoformat()
    for follow in backend.follows:
        what = f"{follow.service!a} follows a tag"
        if not follow.owner.strip():
            yield f"{what}, and nobody answers for it: owner"
        if not re.fullmatch(_DAY, follow.until) or follow.until > last:
            yield f"{what} until {follow.until!a}: wanted a day, {last} at the latest"


def _places(backend: Backend) -> Iterator[str]:
    """Rules of the packet filter hold addresses: no name, which could change."""
    for place in backend.database:
        if networks.place(place) is None:
            yield (
                f"database {place!a}: wanted ADDRESS:PORT of IPv4, which is all that containers "
                "have, such as 192.0.2.30:1433, 192.0.2.0/28:1433 or 192.0.2.30:1433-1440"
            )
    level4 = backend.airlock.level4 if backend.airlock else ()
    for network in (*level4, *(n for what in backend.services for n in what.open_to)):
        if networks.door(f"443/tcp from {network}") is None:
            yield f"{network!a}: wanted a network or an address, such as 10.1.2.0/24"
    for text in backend.listens:
        if networks.door(text) is None:
            wanted = "PORT/tcp or PORT/udp, such as 9100/tcp from 192.0.2.0/24"
            yield f"listens {text!a}: wanted {wanted}"


def _of_agent(backend: Backend) -> Iterator[str]:
    """Its container has the tree of high privacy, and a unit of systemd's the disk's name.

    What sends telemetry puts a path behind it, and nobody reads it on the way.
    """
    for name in ("archives", "archives_disk"):
        path = getattr(backend, name)
        if path and not re.fullmatch(r"/srv/high_privacy(/[a-z0-9_]+)+", path):
            yield f"{name} {path!a}: wanted a folder below /srv/high_privacy, of a-z, 0-9 and _"
    disk = backend.archives_disk
    if disk and not f"{backend.archives}/".startswith(f"{disk}/"):
        yield f"archives {backend.archives!a}: not on archives_disk {disk!a}"
    url = backend.telemetry
    if url and not re.fullmatch(r"https://[a-z0-9.-]+(:[1-9][0-9]{0,4})?", url):
        yield f"telemetry {url!a}: wanted https://NAME, such as https://collector.opensafely.org"


def _desktop(backend: Backend) -> Iterator[str]:
    """Only the remote desktop asks for one: elsewhere it would look as if something did."""
    if backend.second_factor and not backend.rdp_address:
        yield "second_factor: there is no rdp_address, and ssh takes keys alone"
