"""ssh's way into a host, for whoever typed sudo: root's own folders are closed to them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from sandbox import leftovers
from sandbox.command import run
from sandbox.host import Host
from sandbox.people import REVIEWERS


# Host keys are made with the cached tree, so an address may have had others before.
SETTINGS = """\
UserKnownHostsFile /dev/null
GlobalKnownHostsFile /dev/null
StrictHostKeyChecking no
LogLevel ERROR
"""
PERSON = """
Host {name}
    HostName {address}
    User {name}
    IdentityFile {key}
    IdentitiesOnly yes
"""


def config(host: str) -> Path:
    """Where ssh finds who gets in, and how; short, for it is printed and typed."""
    return Path(f"/run/backend-{host}/ssh")


def open_for_caller(host: Host) -> None:
    """Who typed sudo can read the configuration and copies of the keys; nobody else can."""
    place = config(host.id).parent
    run("rm", "-rf", place)
    place.mkdir(mode=0o700)
    leftovers.note(host.lab.name, place)
    text = SETTINGS
    for person in host.people.values():
        if person.name not in REVIEWERS:  # who do not come by ssh
            key = place / person.name
            key.touch(0o600)
            key.write_text(person.key.read_text())
            facts = {"name": person.name, "address": host.address, "key": key}
            text += PERSON.format(**facts)
    config(host.id).write_text(text)
    hand_over(host.id)


def hand_over(host: str) -> None:
    """It is for who typed sudo now, whoever it was for before; root gets in anyway."""
    owner = [int(os.environ.get(f"SUDO_{kind}", 0)) for kind in ("UID", "GID")]
    place = config(host).parent
    for path in [*place.iterdir(), place] if owner[0] else []:
        os.chown(path, owner[0], owner[1])


def lines(host: str, address: str) -> list[str]:
    """The command for each person, as it can be typed without sudo."""
    found = config(host)
    names = re.findall(r"^Host (\S+)$", found.read_text(), re.M)
    if not names:
        return [f"ssh -F {found} NAME@{address}   (with your own key)"]
    return [f"ssh -F {found} {name}" for name in names]
