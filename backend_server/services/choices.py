"""Which image a service runs at on this host: the checkout's, or one somebody chose here."""

from __future__ import annotations

import json
from typing import Mapping

from backend_server.checkout import env
from backend_server.checkout.service import CHOICES, SETTINGS
from backend_server.host import Host, HostReader, record
from backend_server.text.frozen import Frozen


class Choice(Frozen):
    """A line of the file: it counts for as long as the checkout says INSTEAD_OF."""

    service: str
    digest: str
    instead_of: str  # the digest in the checkout's images.lock; empty: none
    who: str
    when: str


class Settings(Frozen):
    """What a unit is told about this host: images as NAME@DIGEST, and docker's gid."""

    image: str = ""
    previous: str = ""
    docker_gid: str = ""


def choices(host: HostReader) -> Mapping[str, Choice]:
    """By service. Raises Refused where the file is broken."""
    return host.parsed(CHOICES, _parse)


def digest(host: HostReader, name: str, locked: str) -> str:
    """The digest that counts for a service, of whom the checkout says LOCKED; empty: none."""
    chosen = choices(host).get(name)
    return chosen.digest if chosen and chosen.instead_of == locked else locked


def choose(host: Host, choice: Choice) -> None:
    """The choice is the one that counts for its service; those of others stay."""
    kept = {**choices(host), choice.service: choice}
    lines = (json.dumps(kept[name]._asdict()) for name in sorted(kept))
    host.write(CHOICES, "".join(f"{line}\n" for line in lines), 0o644)


def settings(host: HostReader, name: str) -> Settings:
    """As they are; empty fields where nothing is said."""
    found = env.literal(host.read(f"{SETTINGS}/{name}") or "")
    return Settings(**{f: found.get(f.upper(), "") for f in Settings._fields})


def running(host: HostReader, name: str) -> str:
    """The digest that it runs at, or would; empty: none yet."""
    return settings(host, name).image.partition("@")[2]


def settle(host: Host, name: str, wanted: Settings) -> None:
    """The next start of the service goes by these."""
    values = {field.upper(): value for field, value in wanted._asdict().items()}
    host.write(f"{SETTINGS}/{name}", env.rendered(values), 0o644)


def _parse(text: str) -> dict[str, Choice]:
    def choice(found: Mapping[str, str]) -> Choice:
        return Choice(**found)

    unknown = "which image was chosen there"
    chosen = record.lines(CHOICES, text, choice, unknown, "choose")
    return {each.service: each for each in chosen}
