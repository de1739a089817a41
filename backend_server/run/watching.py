"""What an operator keeps an eye on: services, jobs, disks, certificates, held updates."""

from __future__ import annotations

import json
from datetime import date, datetime, timezone
from typing import Any, Dict, Iterator, NamedTuple

from backend_server.checkout.gather import Site
from backend_server.checkout.service import PAGE, STUCK
from backend_server.docker import usage
from backend_server.docker.network import unforwarded
from backend_server.host import HostReader
from backend_server.jobs import database, listing, updates
from backend_server.jobs.component import CERTIFICATES
from backend_server.jobs.strangers import strangers
from backend_server.services import states
from backend_server.services.agent import Erring
from backend_server.storage.component import REVIEW_STATE
from backend_server.text.change import counted
from backend_server.text.errors import CommandFailed


LEFT = (
    f"{REVIEW_STATE}/.failed.json"  # by workspace, why the last pass of review/ left it
)
_LEFT = 20  # are told of
SOON_DAYS = 14  # less is no time to get a new certificate in

Found = Dict[str, Any]


class Certificate(NamedTuple):
    path: str
    days: int | None  # that are left; None: it cannot be read

    @property
    def unwell(self) -> bool:
        return self.days is None or self.days < SOON_DAYS

    def __str__(self) -> str:
        if self.days is None:
            return f"{self.path} cannot be read as a certificate"
        if self.days < 0:
            return f"{self.path} ended {counted(-self.days, 'day')} ago"
        return f"{self.path} ends in {counted(self.days, 'day')}"


def watched(site: Site, host: HostReader, today: date) -> Found:
    """By name, for programs; `degraded` has a sentence for each thing that needs somebody."""
    found = states.states(site, host)
    degraded = [*states.degraded(site, host, found), *database.differing(site, host)]
    erring = [each for service in found for each in service.erring]
    here = _jobs(site, host, erring, degraded)
    held, ends = updates.read(host), list(certificates(host, today))
    degraded += [str(certificate) for certificate in ends if certificate.unwell]
    degraded += usage.too_full(host)
    degraded += unforwarded(host)
    look = json.loads(site.backend.airlock and host.read(STUCK) or "{}")
    degraded += look.get("lasts", [])
    left = json.loads(site.backend.airlock and host.read(LEFT) or "{}")
    for name, why in sorted(left.items())[:_LEFT]:
        degraded.append(
            f"workspace {name}: {why}; what Airlock shows of it stays as it is"
        )
    return {
        "services": [states.noted(each) for each in found],
        "jobs": {s: sum(job.state == s for job in here) for s in listing.STATES},
        "releases": look.get("states"),
        "unconfined": [job.id for job in here if job.unconfined],
        "updates": [{**u._asdict(), "days": u.age(today)} for u in held],
        "certificates": [certificate._asdict() for certificate in ends],
        "disks": [each._asdict() for each in usage.file_systems(host)],
        "degraded": degraded,
    }


def _jobs(
    site: Site, host: HostReader, erring: list[Erring], degraded: list[str]
) -> list[listing.Job]:
    try:
        here = listing.listed(host, site.backend, erring)
        degraded += strangers(site, host)
    except listing.NoDocker as error:
        degraded.append(f"{error}; try: {error.hint}")
        return []
    for job in here:
        if job.unconfined:
            why = ", ".join(job.unconfined)
            degraded.append(f"job {job.id} is not confined: {why}")
    return here


def certificates(host: HostReader, today: date) -> Iterator[Certificate]:
    """Those that are laid here for services, by how long they hold."""
    for folder in (CERTIFICATES, PAGE):
        for name in host.names(folder):
            if name.endswith((".crt", ".pem")):
                path = f"{folder}/{name}"
                yield Certificate(path, _days(host, path, today))


def _days(host: HostReader, path: str, today: date) -> int | None:
    try:
        return days_left(host.certificate(path).stdout, today)
    except (CommandFailed, ValueError):
        return None


def days_left(said: str, today: date) -> int:
    """Of `notAfter=Nov 25 04:00:00 2027 GMT`. Raises ValueError for anything else."""
    end = datetime.strptime(said.strip(), "notAfter=%b %d %H:%M:%S %Y %Z")
    return (end.replace(tzinfo=timezone.utc).date() - today).days


def lines(found: Found) -> Iterator[str]:
    for each in found["services"]:
        of_it = states.lines(states.State(**each))
        yield from (f"service     {line}" for line in of_it)
    for what in ("jobs", "releases") if found["releases"] else ("jobs",):
        counts = (f"{n} {state}" for state, n in found[what].items() if n)
        yield f"{what:<11} {', '.join(counts) or 'none'}"
    for each in found["updates"]:
        since = f"waits for {counted(each['days'], 'day')}"
        yield f"held        {each['package']} {each['candidate']} {since}"
    for each in found["certificates"]:
        yield f"certificate {Certificate(**each)}"
    for each in found["disks"]:
        warn = ", which is much" if each["percent"] >= usage.WARN else ""
        yield f"disk        {usage.FileSystem(**each)}{warn}"
