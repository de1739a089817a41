"""What a backend's backend.py says, judged before anything is done with it. Pure."""

from __future__ import annotations

import re

from backend_server.checkout.backend import Backend
from backend_server.text import networks
from backend_server.text.parsers import parse_hosts
from backend_server.text.problem import Problem


_DAY = r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"


def problems(backend: Backend) -> list[Problem]:
    """Every setting that nothing could be made of."""
    return [
        *_follow_problems(backend),
        *_no_places(backend),
        *_no_desktop(backend),
        *_share_problems(backend),
    ]


def unpinned(backend: Backend, hosts: str) -> list[Problem]:
    """Containers have no name server, and this host none it need trust: names are in hosts(5)."""
    source, pinned = f"{backend.name}/backend.py", parse_hosts(hosts)
    named = [("endpoint", each.partition(":")[0]) for each in backend.endpoints]
    if backend.share and not networks.is_address(backend.share.server):
        named.append(("share", backend.share.server))
    return [
        Problem(source, 0, f"{what} {name} has no line in {backend.name}/hosts")
        for what, name in named
        if name not in pinned
    ]


def _share_problems(backend: Backend) -> list[Problem]:
    source = f"{backend.name}/backend.py"
    said = backend.share.problems() if backend.share else ()
    return [Problem(source, 0, why) for why in said]


def _no_places(backend: Backend) -> list[Problem]:
    """Rules of the packet filter hold addresses: no name, which could change."""
    said = [
        f"database {place!a}: wanted ADDRESS:PORT of IPv4, which is all that containers have,"
        " such as 192.0.2.30:1433, 192.0.2.0/28:1433 or 192.0.2.30:1433-1440"
        for place in backend.database
        if networks.place(place) is None
    ]
    wanted = "wanted PORT/tcp or PORT/udp, such as 9100/tcp from 192.0.2.0/24"
    said += [
        f"listens {text!a}: {wanted}"
        for text in backend.listens
        if networks.door(text) is None
    ]
    return [Problem(f"{backend.name}/backend.py", 0, why) for why in said]


def _no_desktop(backend: Backend) -> list[Problem]:
    """Only the remote desktop asks for one: elsewhere it would look as if something did."""
    if not backend.second_factor or backend.rdp_address:
        return []
    why = "second_factor: there is no rdp_address, and ssh takes keys alone"
    return [Problem(f"{backend.name}/backend.py", 0, why)]


def _follow_problems(backend: Backend) -> list[Problem]:
    """Somebody answers for what moves by itself, and there is an end to it."""
    source, problems = f"{backend.name}/backend.py", []
    for follow in backend.follows:
        if not follow.owner.strip():
            why = f"{follow.service!a} follows a tag, and nobody answers for it: owner"
            problems.append(Problem(source, 0, why))
        if not re.fullmatch(_DAY, follow.until):
            why = (
                f"{follow.service!a} follows a tag until {follow.until!a}: wanted a day"
            )
            problems.append(Problem(source, 0, f"{why} such as 2027-01-31"))
    return problems
