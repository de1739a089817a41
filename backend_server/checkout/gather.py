"""Everything a declaration is made from, read from the checkout and judged as a whole."""

from __future__ import annotations

import os
import re
from datetime import date
from pathlib import Path
from typing import Callable, Mapping

from backend_server.checkout import env, images, keys, rosters, settings
from backend_server.checkout.backend import Backend
from backend_server.checkout.keys import Keys
from backend_server.checkout.rosters import Entries, Entry, People
from backend_server.checkout.service import Service
from backend_server.text import networks
from backend_server.text.errors import Refused
from backend_server.text.frozen import Frozen
from backend_server.text.parsers import parse_assignments
from backend_server.text.problem import Problem
from backend_server.text.releases import Release
from backend_server.text.roles import ROLES, Role


class Site(Frozen):
    """A backend on a release, with its people and lists: all that a declaration depends on."""

    backend: Backend
    release: Release
    people: People  # by roster; those whose time is over are left out
    keys: Mapping[str, Keys]  # by person, of those who have a file in keys/
    hosts: str  # lines of hosts(5)
    github: Mapping[str, Keys] = {}  # by person: keys from there that are accepted here
    checkout: str = ""  # where this tool's files are on the host
    packages: Mapping[str, frozenset[str]] = {}  # by list: core, extra, purge
    mirror: str = ""  # URL before the archive's path; empty: the host's own sources
    security_mirror: str = ""
    etc: Mapping[str, str] = {}  # files installed as they are, by absolute path
    images: Mapping[str, str] = {}  # digest by service, of the backend's images.lock
    service_env: str = ""  # what is different in the services' environment here
    entry: str = ""  # what backend_server/entry.py says
    services: tuple[Service, ...] = ()  # what runs in containers; run/ knows which


def gather(backend: Backend, release: Release, checkout: Path, today: date) -> Site:
    """Raises Refused with every problem of every file, by file and line."""
    problems: list[Problem] = []
    people = _people(backend, checkout, today, problems)
    keys_of = _keys(checkout, people, problems)
    packages = {
        name: _packages(checkout, f"packages/{name}.txt", problems) for name in _LISTS
    }
    hosts = _read(checkout, f"{backend.name}/hosts", problems)
    problems += _hosts_problems(f"{backend.name}/hosts", hosts)
    source = f"{backend.name}/backend.env"
    assigned = parse_assignments(_read(checkout, source, problems))
    mirrors = [assigned.get(name, "") for name in ("MIRROR", "SECURITY_MIRROR")]
    if any(mirrors) and not all(re.fullmatch(_MIRROR, m) for m in mirrors):
        why = "wanted MIRROR and SECURITY_MIRROR both as https://NAME, or both empty"
        problems.append(Problem(source, 0, why))
    source = f"{backend.name}/images.lock"
    digests, wrong = images.parse(source, _read(checkout, source, problems))
    problems += wrong
    source = f"{backend.name}/service.env"
    service_env = _read(checkout, source, problems)
    entry = _read(checkout, "backend_server/entry.py", problems)
    problems += env.parse(source, service_env)[1]
    problems += settings.problems(backend, today)
    problems = problems or settings.unpinned(backend, hosts)
    if problems:
        raise Refused(
            "the checkout has mistakes, and nothing was touched\n"
            + "\n".join(map(str, sorted(problems))),
            hint="correct these lines, commit, and run this again",
        )
    return Site(
        backend=backend,
        release=release,
        checkout=str(checkout),
        people=people,
        keys=keys_of,
        packages=packages,
        hosts="".join(line + "\n" for line in hosts.splitlines()),
        mirror=mirrors[0],
        security_mirror=mirrors[1],
        etc=_etc(checkout / "etc"),
        entry=entry,
        images=digests,
        service_env=service_env,
    )


def without(site: Site, revoked: frozenset[str], shut: frozenset[str]) -> Site:
    """As if no roster named the revoked accounts, and nobody had a key that is shut."""
    people = only(site.people, lambda entry: entry.name not in revoked)
    keys_of = {
        name: keys.without(found, shut)
        for name, found in site.keys.items()
        if name not in revoked
    }
    return site._replace(people=people, keys=keys_of)


def developers(site: Site) -> Entries:
    """Those on a roster whose role may become root."""
    rosters_of = [role.roster for role in ROLES if role.sudo and role.roster]
    return tuple(e for roster in rosters_of for e in site.people.get(roster, ()))


def in_role(site: Site, role: Role) -> frozenset[str]:
    """The names on its roster; none where there is no roster of it here."""
    return frozenset(e.name for e in site.people.get(role.roster or "", ()))


def last_developers(site: Site) -> frozenset[str]:
    """Those whose end date is the last one, where every developer has one.

    Their access does not end by itself: nobody could look after the host then.
    """
    listed = developers(site)
    dates = [entry.expires for entry in listed if entry.expires]
    if len(dates) < len(listed):
        return frozenset()
    return frozenset(e.name for e in listed if e.expires == max(dates))


def last_days(site: Site) -> Mapping[str, date | None]:
    """By name, the last day on any roster, as which begins somebody is shut out; None: no end."""
    days: dict[str, list[date | None]] = {}
    for entry in (e for entries in site.people.values() for e in entries):
        days.setdefault(entry.name, []).append(entry.expires)
    last = last_developers(site)
    return {
        name: None if None in found or name in last else max(filter(None, found))
        for name, found in days.items()
    }


def only(people: People, stays: Callable[[Entry], bool]) -> People:
    """The same rosters, with these entries alone."""
    return {name: tuple(filter(stays, entries)) for name, entries in people.items()}


def everybody(people: People) -> frozenset[str]:
    """The names on all of these rosters."""
    return frozenset(e.name for entries in people.values() for e in entries)


def roster_path(backend: str, roster: str) -> str:
    """Developers are the same people everywhere; other rosters are each backend's own."""
    return roster if roster == "developers" else f"{backend}/{roster}"


def _people(
    backend: Backend, checkout: Path, today: date, problems: list[Problem]
) -> People:
    people = {}
    for roster in (role.roster for role in ROLES if role.roster):
        source = roster_path(backend.name, roster)
        if roster in backend.rosters:
            content = read_bytes(checkout, source, problems)
            entries, found = rosters.parse(source, content)
            problems += found
            people[roster] = entries
        elif (
            checkout / source
        ).exists():  # whoever wrote what is not read counts on it
            why = (
                f"{backend.title} manages its {roster} elsewhere, and nobody on this list would "
                f"get in; delete it, or name it in rosters of {backend.name}/backend.py"
            )
            problems.append(Problem(source, 0, why))
    problems += rosters.check(people)
    return only(people, lambda entry: not entry.over(today))


def _keys(
    checkout: Path, people: People, problems: list[Problem]
) -> Mapping[str, Keys]:
    """Only of people on a roster here; a person's keys on another backend are its business."""
    found = {}
    for name in sorted(everybody(people)):
        source = f"keys/{name}"
        if os.path.exists(f"{checkout}/{source}"):
            content = read_bytes(checkout, source, problems)
            found[name], wrong = keys.parse(source, content)
            problems += wrong
    return found


_LISTS = ("core", "extra", "purge", "desktop", "no-desktop", "second-factor")
_MIRROR = r"https://[a-z0-9.-]+(:[0-9]+)?(/[\w.-]+)*"
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")


def _packages(checkout: Path, source: str, problems: list[Problem]) -> frozenset[str]:
    names = set()
    text = _read(checkout, source, problems)
    for number, line in enumerate(text.splitlines(), start=1):
        for name in line.partition("#")[0].split():
            if not _PACKAGE.fullmatch(name):
                problems.append(Problem(source, number, f"{name!a} is no package name"))
            names.add(name)
    return frozenset(names)


def _hosts_problems(source: str, text: str) -> list[Problem]:
    problems = []
    for number, line in enumerate(text.splitlines(), start=1):
        address, *names = line.partition("#")[0].split() or [""]
        if line.startswith(("# BEGIN opensafely", "# END opensafely")):
            why = "this line marks the block on the host; take it out"
            problems.append(Problem(source, number, why))
        if address and not (networks.is_address(address) and names):
            why = "wanted an address and then names, such as `192.0.2.7 jobs.example`"
            problems.append(Problem(source, number, why))
    return problems


def _read(checkout: Path, name: str, problems: list[Problem]) -> str:
    return read_bytes(checkout, name, problems).decode("utf-8", "surrogateescape")


def read_bytes(checkout: Path, name: str, problems: list[Problem]) -> bytes:
    """A file of the checkout; empty, with a problem, where it cannot be read."""
    try:
        with open(f"{checkout}/{name}", "rb") as file:
            return file.read()
    except OSError as error:
        # A typing error in a path must not read as an empty list.
        problems.append(Problem(name, 0, f"cannot be read: {error.strerror}"))
        return b""


def _etc(top: Path) -> Mapping[str, str]:
    files = {}
    for folder, _, names in os.walk(top):
        place = "/etc" + folder[len(str(top)) :]
        for name in names:
            with open(f"{folder}/{name}", encoding="utf-8") as file:
                files[f"{place}/{name}"] = file.read()
    return files
