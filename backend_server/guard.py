"""That somebody can always log in and become root after a run."""

from __future__ import annotations

import time

from backend_server.errors import Refused
from backend_server.gather import Site
from backend_server.host.reader import HostReader
from backend_server.roles import ROLES
from backend_server.rosters import Entry


_DAY_S = 24 * 60 * 60


def somebody_remains(site: Site, host: HostReader) -> None:
    """Raises Refused where no developer could look after this host after the run."""
    rosters = [role.roster for role in ROLES if role.sudo and role.roster]
    developers = [entry for name in rosters for entry in site.people.get(name, ())]
    if not developers:
        raise Refused(
            "no developer is on the roster developers; wanted at least one",
            hint=f"echo YOUR-GITHUB-NAME >> {site.checkout}/developers, and commit that",
        )
    whys = [why_not(entry, site, host) for entry in developers]
    if all(whys):
        raise Refused(
            "nobody would be able to log in and become root after this run\n"
            + "\n".join(f"{e.name} {why}" for e, why in zip(developers, whys)),
            hint="mend one of these and run this again",
        )


def why_not(entry: Entry, site: Site, host: HostReader) -> str:
    """Why this person could not log in and become root; empty where they could.

    Whether sshd would let them is asked where its configuration is declared.
    """
    if not site.keys.get(entry.name):
        return f"has no key in keys/{entry.name}"
    shadow = host.shadow().get(entry.name)
    if shadow is None:  # an account that this run makes
        return ""
    if shadow.expires is not None and shadow.expires * _DAY_S <= time.time():
        return f"has an account that is expired: chage -E -1 {entry.name}"
    if site.backend.sudo_password and shadow.locked:
        return f"has a locked password: usermod -p '!' {entry.name}"
    return ""
