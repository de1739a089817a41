"""What the last run by a person acted on: all that the timer may draw conclusions from."""

from __future__ import annotations

import json

from backend_server.checkout import Backend, Site, rosters
from backend_server.checkout.keys import in_text
from backend_server.host import Host, HostReader, record
from backend_server.text.errors import Refused
from backend_server.text.releases import RELEASES, named


RECORD = "/var/lib/opensafely/applied.json"


def keep(host: Host, site: Site) -> None:
    """Rosters, keys/, pinned addresses and release of this run; as they were, they are left alone."""
    people = {roster: list(map(str, who)) for roster, who in site.people.items()}
    keys = {name: [key.bare for key in has] for name, has in sorted(site.keys.items())}
    found = {"people": people, "keys": keys, "hosts": site.hosts}
    record.keep(host, RECORD, {**found, "release": site.release.name})


def read(host: HostReader, backend: Backend) -> Site | None:
    """The place as it was then, with those whose time is over by now; None before a first run.

    Its release too: what is wrong with os-release(5) keeps no door open.
    """
    text = host.read(RECORD)
    if text is None:
        return None
    try:
        found = json.loads(text)
        people = {
            roster: rosters.parse(roster, "\n".join(lines).encode())[0]
            for roster, lines in found["people"].items()
        }
        keys = {
            name: in_text("\n".join(lines)) for name, lines in found["keys"].items()
        }
        hosts = str(found["hosts"])
        release = named(found.get("release", RELEASES[0].name))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Refused(
            f"{RECORD} cannot be read; wanted what the last run acted on",
            hint="sudo backend",
        ) from None
    return Site(backend, release, people, keys, hosts)
