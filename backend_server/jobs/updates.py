"""Newer versions of packages that are held: which there are, and since when."""

from __future__ import annotations

import json
import re
from datetime import date
from typing import Mapping, NamedTuple

from backend_server.desktop import component as desktop
from backend_server.desktop import xrdp
from backend_server.docker import component as docker
from backend_server.host import Host, HostReader, apt, record
from backend_server.resources.package import installed


RECORD = "/var/lib/opensafely/updates.json"
_POLICY = re.compile(r"^(\S+):\n +Installed: (\S+)\n +Candidate: (\S+)$", re.MULTILINE)


class Update(NamedTuple):
    """A held package that is not the newest one. `since` is the day that was first seen."""

    package: str
    installed: str
    candidate: str
    since: str

    def age(self, today: date) -> int:
        return (today - date.fromisoformat(self.since)).days


def held_here(host: HostReader) -> list[str]:
    """The packages that only a maintenance moves, of those that are installed."""
    # The provider's own desktop is theirs to move.
    ours = host.stat(xrdp.CERTIFICATE) is not None
    held = docker.HELD | (desktop.HELD if ours else frozenset())
    return sorted(installed(held, host))


def parse_policy(text: str) -> Mapping[str, tuple[str, str]]:
    """Installed and candidate version by package, of apt-cache(8)."""
    return {name: (has, gets) for name, has, gets in _POLICY.findall(text)}


def newer(
    policy: Mapping[str, tuple[str, str]], before: Mapping[str, str], today: date
) -> list[Update]:
    """What waits. BEFORE is since when which package does; a still newer one waits no less."""
    return [
        Update(name, has, gets, before.get(name, today.isoformat()))
        for name, (has, gets) in sorted(policy.items())
        if has != gets and "(none)" not in (has, gets)
    ]


def note(host: Host, today: date) -> list[Update]:
    """What waits by the package lists that are here, kept for `status`. All of it is held."""
    names = held_here(host)
    loose = [name for name in names if not host.packages()[name].held]
    if loose:  # the power went in the middle of an upgrade
        apt.wait_for_locks(host)
        host.run("apt-mark", "hold", *loose)
    policy = parse_policy(host.candidates(names)) if names else {}
    before = {update.package: update.since for update in read(host)}
    found = newer(policy, before, today)
    record.keep(host, RECORD, [update._asdict() for update in found])
    return found


def read(host: HostReader) -> list[Update]:
    """What waited when it was looked at last, less what was upgraded since."""
    try:
        kept = [Update(**each) for each in json.loads(host.read(RECORD) or "[]")]
    except (ValueError, TypeError):  # it is only a note, and the next one is right
        return []
    return [update for update in kept if update.package in held_here(host)]
