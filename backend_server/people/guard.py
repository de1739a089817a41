"""That enough people can always log in and become root after a run."""

from __future__ import annotations

from typing import Mapping

from backend_server.checkout.gather import Site, developers
from backend_server.checkout.rosters import Entry
from backend_server.host import HostReader
from backend_server.people.offers import Verdict, no_key
from backend_server.text.errors import Refused


ENOUGH = 2
_NOT_ASKED = Verdict({})


def enough_remain(
    site: Site,
    host: HostReader,
    enough: int = ENOUGH,
    verdict: Verdict = _NOT_ASKED,
    out: Mapping[str, str] = {},
) -> None:
    """Raises Refused where too few developers could look after this host after the run.

    As many as `enough`, or all where the roster has fewer. And whoever runs this must be able
    to come back. `out` has the reason of each whom the roster names and this host has not.
    """
    listed = developers(site)
    if not listed and not out:
        raise Refused(
            "no developer is on the roster developers; wanted at least one",
            hint=f"echo YOUR-GITHUB-NAME >> {site.checkout}/developers, and commit that",
        )
    whys = {entry.name: why_not(entry, site, host, verdict) for entry in listed}
    wanted = max(1, min(enough, len(whys)))
    able = [name for name, why in whys.items() if not why]
    if len(able) < wanted:
        who = "nobody" if not able else f"only {able[0]}"
        reasons = {**whys, **out}.items()
        raise Refused(
            f"{who} would be able to log in and become root after this run; wanted "
            f"{wanted}\n" + "\n".join(f"{name} {why}" for name, why in reasons if why),
            hint="mend one of these and run this again",
        )
    name = host.person()
    why = whys.get(name, "is no developer on a roster, nor a provider account")
    # The provider's accounts and root keep the ways that they have.
    if why and name not in ("", "root", *site.backend.provider_accounts):
        raise Refused(
            f"{name}, who runs this, would not be able to come back afterwards: {name} {why}",
            hint="let somebody run this who stays, or mend that first",
        )


def why_not(
    entry: Entry, site: Site, host: HostReader, verdict: Verdict = _NOT_ASKED
) -> str:
    """Why this person could not log in and become root; empty where they could.

    Whether sshd would let them is asked where its configuration is declared; an account that
    is expired comes back by the run.
    """
    if not (site.keys.get(entry.name) or site.github.get(entry.name)):
        return (
            f"has no key: {no_key(verdict, entry.name)}, none is in keys/{entry.name}"
        )
    shadow = host.shadow().get(entry.name)
    if shadow and site.backend.sudo_password and shadow.locked:
        mends = f"sudo backend people password --reset {entry.name}"
        return f"has a locked password: {mends}"
    return ""
