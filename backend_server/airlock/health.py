"""Whether outputs are released here, tried by effect. Nothing of Airlock's is changed."""

from __future__ import annotations

import re
from typing import Iterator

from backend_server.airlock.declared import NAME, service
from backend_server.airlock.page import AUTHORITY
from backend_server.airlock.requests import ENDED, PATIENCE_S, Request
from backend_server.checkout import Airlock, Site
from backend_server.engine import Host, history
from backend_server.people import https
from backend_server.services import agent, answering, backup, environment, switching
from backend_server.text.parsers import parse_hosts


_NOBODY = b'{"user": "no-such-user"}'
_AGAIN = f"sudo backend service restart {NAME}"
_FAILED = r"failed \(attempt \d+\): (.*)"


def unwell(site: Site, host: Host, what: Airlock, rows: list[Request]) -> Iterator[str]:
    """A sentence for each thing that keeps outputs here, with what mends it."""
    yield from backup.late(host, NAME)
    if not switching.running_s(host.unit(service(site.backend, what).unit)):
        return  # which is told of any service
    page = answering.at_this_host(what.name)
    if host.stat(AUTHORITY):
        page.context.load_verify_locations(AUTHORITY)
    status, why = answering.status(page, "login/")
    if status != 200:
        yield f"Airlock's page does not answer: {why}; sudo backend && {_AGAIN}"
    yield from _turned_away(site, host, what)
    if "run_file_uploader" not in host.run("docker", "top", NAME, "-o", "pid,args"):
        yield f"nothing of what is released is uploaded: its program has ended; {_AGAIN}"
    then = history.now(ago_s=PATIENCE_S).replace("T", " ").rstrip("Z")
    for each in rows:
        if each.strangers and each.status not in ENDED:
            others = ", ".join(each.strangers)
            why = f"is of or before {others}, who are on no roster here"
            yield f"{each.id} of {each.workspace} {why}; sudo backend outputs releases"
        if each.late(then):
            yield f"{each.stuck}{_last_answer(host, each)}; sudo backend service logs {NAME}"


def _turned_away(site: Site, host: Host, what: Airlock) -> Iterator[str]:
    """A good token is told that there is no such user."""
    name, *_ = service(site.backend, what).secrets
    token = environment.now(host).values.get(name, "")
    api = https.Site(f"https://{what.api}/api/v2", parse_hosts(site.hosts))
    kind = {"Authorization": token, "Content-Type": "application/json"}
    status, why = answering.status(api, "releases/authorise", _NOBODY, kind)
    if status == 403:
        yield f"{what.api} does not take {name}; sudo backend service secrets set {name}"
    elif status != 404:
        yield f"nothing is released while {what.api} does not answer: {why}; sudo backend plan"


def _last_answer(host: Host, request: Request) -> str:
    """In words, of what the uploader said of it last."""
    lines = agent.said(host.container_said(NAME, 1000, 0))
    found = [re.search(_FAILED, line) for _, line in lines if request.id in line]
    answers = [agent.plain(each[1])[:200] for each in found if each]
    return f": {answers[-1]}" if answers else ""
