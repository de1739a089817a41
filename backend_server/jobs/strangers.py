"""What starts or configures things on this host beside us: containers, other engines, other tools."""

from __future__ import annotations

import os
import re
from typing import Iterator

from backend_server.checkout.gather import Site
from backend_server.docker.containers import CANARY_LABEL, JOB_LABEL, Container
from backend_server.host import HostReader
from backend_server.jobs.listing import containers
from backend_server.resources import UNITS
from backend_server.text.networks import DATABASE_NETWORK


_SOCKETS = {"/run/docker.sock", "/var/run/docker.sock"}
# Another engine, by what is there where it is; whose containers are in no rule of ours.
_ENGINES = {
    "podman": "/usr/bin/podman",
    "docker of a snap": "/snap/bin/docker",
    "rootless docker": "/usr/bin/dockerd-rootless.sh",
}
# https://puppet.com/docs, https://docs.chef.io and the like: the units that their packages enable.
_TOOLS = (
    *("puppet.service", "chef-client.service", "salt-minion.service"),
    *("cfengine3.service", "landscape-client.service", "ansible-pull.timer"),
)
_STARTS = re.compile(r"^Exec\w+=.*\bdocker(-compose)?\b.*\b(run|pull|up|start)\b", re.M)


def rivals(site: Site, host: HostReader) -> list[Container]:
    """Those that may start others and are none of ours: another agent, by whatever name.

    Raises NoDocker where docker does not answer.
    """
    return [each for each in _foreign(site, host) if _has_socket(each)]


def strangers(site: Site, host: HostReader) -> Iterator[str]:
    """A sentence for each thing that is neither ours nor declared as foreign.

    Raises NoDocker where docker does not answer.
    """
    backend = site.backend
    declare = f"name it in foreign of {backend.name}/backend.py"
    for each in _foreign(site, host):
        why, what = ", ".join(_does(each)), f"container {each.name} of {each.image}"
        if _has_socket(each):
            yield (
                f"{what} has docker's socket and is none of ours: another agent takes jobs of "
                f"this backend, or ends ours; docker rm --force {each.name}"
            )
        elif why:
            end = f"docker rm --force {each.name}, or {declare}"
            yield f"{what} is no job and no service of ours: it {why}; {end}"
    for name, path in _ENGINES.items():
        if host.stat(path) and name not in backend.foreign:
            yield f"{name} is here, whose containers no rule of ours confines; remove it, or {declare}"
    for unit in _units(host):
        if unit not in backend.foreign:
            stop = f"systemctl disable --now {unit}, or {declare}"
            yield f"{unit} changes this host beside us, or starts containers; {stop}"


def _foreign(site: Site, host: HostReader) -> Iterator[Container]:
    known = {each.name for each in site.services} | {*site.backend.foreign}
    for each in containers(host):
        ours = {JOB_LABEL, CANARY_LABEL} & each.labels.keys()
        # The agent's own, which ask the database and have no label.
        ours |= {DATABASE_NETWORK} & each.networks
        if each.alive and not ours and each.name not in known:
            yield each


def _has_socket(container: Container) -> bool:
    mounts = container.facts.get("Mounts") or ()
    return not _SOCKETS.isdisjoint(mount.get("Source") for mount in mounts)


def _does(container: Container) -> Iterator[str]:
    """What it can do that a container which somebody tries something in does not."""
    said = container.facts["HostConfig"]
    for network in sorted(container.networks - {"bridge", "default", "none"}):
        yield f"is on network {network}, which no rule of ours confines"
    if said.get("PortBindings"):
        yield "publishes ports"
    if (said.get("RestartPolicy") or {}).get("Name") not in (None, "", "no"):
        yield "starts again by itself"


def _units(host: HostReader) -> Iterator[str]:
    """Of other tools, where they start at a boot; and of whoever wrote one that starts containers."""
    wants = [
        host.names(f"{UNITS}/{each}.target.wants") for each in ("multi-user", "timers")
    ]
    yield from (unit for unit in _TOOLS if any(unit in names for names in wants))
    for name in host.names(UNITS):
        path = f"{UNITS}/{name}"
        theirs = name.endswith(".service") and not name.startswith("opensafely-")
        if theirs and host.link(path) != os.devnull:
            text = (host.read(path) or "").replace("\\\n", " ")
            yield from [name] * bool(_STARTS.search(text))
