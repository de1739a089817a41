"""What is kept of a service that follows a tag, from one look to the next."""

from __future__ import annotations

import json
from typing import Iterator

from backend_server.checkout import Follow, Site
from backend_server.checkout.service import FOLLOWED
from backend_server.engine.history import now, who
from backend_server.host import Host, HostReader, record
from backend_server.services import agent, choices
from backend_server.text.errors import Refused
from backend_server.text.frozen import Frozen


# A file of its own: it is laid while a trial is under way.
_HELD = "/var/lib/opensafely/{}.held"


class Kept(Frozen):
    """The digest that went back, and the one that is on trial since a time."""

    refused: str = ""
    why: str = ""
    trial: str = ""
    since: float = 0


def exception(site: Site, name: str) -> Follow | None:
    """By which a service follows a tag."""
    return next((each for each in site.backend.follows if each.service == name), None)


def of(site: Site, name: str) -> Follow:
    """That exception. Raises Refused where there is none."""
    found = exception(site, name)
    if found:
        return found
    raise Refused(f"{name!a} follows no tag here", "see `follows` in backend.py")


def kept(host: HostReader, name: str) -> Kept:
    try:
        return Kept(**json.loads(host.read(FOLLOWED.format(name)) or "{}"))
    except (ValueError, TypeError):  # then the next look tries once more than it need
        return Kept()


def keep(host: Host, name: str, found: Kept) -> None:
    record.keep(host, FOLLOWED.format(name), found._asdict())


def held(host: HostReader, name: str) -> str:
    """By whom, since when and why; empty: it is not."""
    return (host.read(_HELD.format(name)) or "").strip()


def hold(host: Host, name: str, why: str) -> None:
    """It follows no more. What is being tried at this moment goes back."""
    host.write(_HELD.format(name), f"{who(host)} since {now()}: {why}\n", 0o600)


def release(host: Host, name: str) -> None:
    """It follows again, and to what went back before too."""
    host.remove(_HELD.format(name))
    keep(host, name, kept(host, name)._replace(refused="", why=""))


def on_trial(host: HostReader, name: str, digest: str) -> bool:
    """Whether no job has been prepared yet by what this digest is the image of."""
    found = kept(host, name)
    return found.trial == digest and not agent.prepared(host, name, found.since)


def notes(site: Site, host: HostReader, name: str, digest: str) -> Iterator[str]:
    """What there is to know of it, where nobody need do anything."""
    if exception(site, name) and held(host, name):
        yield f"follows no tag, held by {held(host, name)}; sudo backend service follow {name}"
    if digest and on_trial(host, name, digest):
        yield f"{digest} is on trial until a first job is prepared"


def degraded(site: Site, host: HostReader, name: str) -> Iterator[str]:
    """Why it does not follow, where somebody should look."""
    follow, found = exception(site, name), kept(host, name)
    if follow and over(follow):
        yield (
            f"{name} follows {follow.tag} no longer: that was until {follow.until}; ask "
            f"{follow.owner}, then change {site.backend.name}/backend.py"
        )
    elif follow and found.refused not in ("", choices.running(host, name)):
        yield (
            f"{name} went back from {found.refused}, which {follow.tag} meant, and waits "
            f"for the next: {found.why}; to try it again: sudo backend service follow {name}"
        )


def over(follow: Follow) -> bool:
    return now() >= follow.until
