"""The patients' database: where the job-runner is told it is, and where jobs may go."""

from __future__ import annotations

import re
from typing import Iterator

from backend_server.checkout.gather import Site
from backend_server.host import HostReader
from backend_server.services import environment
from backend_server.text.networks import Place, is_ipv4, place
from backend_server.text.parsers import parse_hosts


URL = "DEFAULT_DATABASE_URL"
# Whole, or nothing of it is taken for a host: a password may hold whatever else looks like one.
_URL = r"([a-z0-9]+)(?:[+][a-z0-9_]+)?://(?:[^@/?#]*@)?([A-Za-z0-9.-]+)(?::([0-9]{1,5}))?(?:[/?#][^@]*)?"


def notes(site: Site) -> Iterator[str]:
    """What a backend with patients' data says nowhere."""
    if not site.backend.dummy_data and not site.backend.database:
        yield (
            f"jobs here reach no database, and each that asks one fails: put its ADDRESS:PORT "
            f"into `database` of {site.backend.name}/backend.py"
        )


def differing(site: Site, host: HostReader) -> Iterator[str]:
    """Why jobs would not get where the URL leads; of the URL no more is said than host and port."""
    url = _url(host)
    if not url or not site.backend.database or site.backend.dummy_data:
        return
    file, mends = site.backend.name, f"sudo backend service secrets set {URL}"
    found = re.fullmatch(_URL, url)
    target = _target(site, host, found)
    if not found:
        yield (
            f"{URL} cannot be read; wanted SCHEME://USER:PASSWORD@HOST:PORT/NAME, and in the "
            f"password %40 for @, %2F for /, %3F for ?, %23 for #; {mends}"
        )
    elif not target:
        yield (
            f"{URL} leads to {found[2]}, whose address nothing here knows: put it into "
            f"{file}/hosts, or {mends}"
        )
    elif not any(each.holds(*target) for each in places(site)):
        yield (
            f"{URL} leads to {target[0]}:{target[1]}, where jobs may not go: put that into "
            f"`database` of {file}/backend.py, or {mends}"
        )


def places(site: Site) -> list[Place]:
    """Where jobs may go."""
    return [found for found in map(place, site.backend.database) if found]


def to_try(site: Site, host: HostReader) -> list[tuple[str, int]]:
    """Each address and port that jobs may reach; of a wider place that where the URL leads."""
    exact = {(each.address, each.first) for each in places(site) if each.exact}
    target = leads_to(site, host)
    may = target and any(each.holds(*target) for each in places(site))
    return sorted(exact | ({target} if target and may else set()))


def leads_to(site: Site, host: HostReader) -> tuple[str, int] | None:
    """Address and port of the URL. None where there is no such URL, or no address."""
    return _target(site, host, re.fullmatch(_URL, _url(host)))


def _url(host: HostReader) -> str:
    return environment.now(host).values.get(URL) or ""


def _target(
    site: Site, host: HostReader, found: re.Match[str] | None
) -> tuple[str, int] | None:
    """The name as the job-runner finds it in the host's file, which has this site's lines after a run."""
    if not found:
        return None
    name, here = found[2], host.parsed("/etc/hosts", parse_hosts)
    address = name if is_ipv4(name) else parse_hosts(site.hosts).get(name)
    address = address or here.get(name, "")
    port = int(found[3] or (1433 if found[1] == "mssql" else 0))
    return (address, port) if is_ipv4(address) else None
