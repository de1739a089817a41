"""Which components a backend has, in the order of work."""

from __future__ import annotations

from typing import Iterator

from backend_server.access.component.ssh import ssh
from backend_server.access.component.sudo import lockout, programs, sudo
from backend_server.base.component.firewall import firewall, limits
from backend_server.base.component.hosts import hosts
from backend_server.base.component.hyperv import HOSTS_CLOCK, VMBUS, clock, hyperv
from backend_server.base.component.identity import identity
from backend_server.base.component.kernel import kernel
from backend_server.base.component.login import login
from backend_server.base.component.logs import logs
from backend_server.base.component.packages import packages, updates
from backend_server.base.roots_files import edited
from backend_server.checkout.gather import Site
from backend_server.desktop.component import desktop
from backend_server.docker.component import docker
from backend_server.engine.engine import Component, component, well_formed
from backend_server.jobs.component import places, tidy
from backend_server.outputs.component import outputs
from backend_server.people.component import keys, leavers, narrowing, people
from backend_server.services.component import container, environment, following
from backend_server.storage.component import storage


def declare(site: Site) -> tuple[Component, ...]:
    """All that should be so, in the order of work. Pure: it looks at no host.

    Raises Refused where the declaration contradicts itself.
    """
    components = tuple(_components(site))
    well_formed(components)
    return (*components, component("ownership", (edited(components),)))


def _components(site: Site) -> Iterator[Component]:
    yield component("identity", identity(site))
    yield component("leavers", leavers(site))
    yield component("people", people(site))
    yield component("keys", keys(site), needs=("people",))
    yield component("narrowing", narrowing(site), needs=("people",))
    yield component("hosts", hosts(site))
    yield component("packages", packages(site))
    yield component("updates", updates(site), needs=("packages",))
    yield component("ssh", ssh(site), needs=("people", "keys"))
    yield component("sudo", sudo(site), needs=("people", "packages"))
    yield component("storage", storage(site), needs=("people", "packages"))
    # Without the rules, containers would reach everything that the host does.
    yield component("firewall", firewall(site), needs=("packages",))
    yield component("limits", limits(site), needs=("packages",))
    parts = tuple(docker(site, frozenset(each.name for each in site.services)))
    yield component("docker", parts, needs=("people", "packages", "firewall"))
    yield component("environment", environment(site))
    agent = next(each for each in site.services if each.docker)
    parts = (*places(site), *container(site, agent), *following(site))
    needs = ("people", "storage", "docker", "environment")
    yield component("jobrunner", parts, needs=needs)
    if site.backend.airlock:
        # Where it is, only.
        from backend_server.airlock.component import airlock, window

        yield component("airlock", airlock(site, site.backend.airlock), needs)
    for each in site.backend.services:
        yield component(each.name, container(site, each), needs)
    if site.backend.share:
        parts = tuple(outputs(site, site.backend.share))
        yield component("outputs", parts, needs=("packages", "storage"))
    yield component("tidy", tidy(site), needs=("docker",))
    yield component("login", login(site))
    yield component("lockout", lockout(site))
    if site.backend.rdp_address:
        # Nobody comes in before passwords are judged and reviewers cut off.
        closed = ("people", "packages", "sudo", "storage", "firewall", "lockout")
        yield component("desktop", desktop(site), needs=closed)
        if site.backend.airlock:
            yield component("window", window(site), needs=("desktop",))
    yield component("logs", logs(site), needs=("people", "packages"))
    yield component("kernel", kernel(site))
    if site.backend.hyperv:
        first = ("packages",)
        yield component("hyperv", hyperv(site), first, device=VMBUS)
        yield component("clock", clock(site), first, device=HOSTS_CLOCK)
    yield component("programs", programs(), needs=("people",))
