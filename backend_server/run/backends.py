"""The backends, by name, and what all of them have."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Iterator

from backend_server.backend import Backend
from backend_server.components.clock import HOSTS_CLOCK, clock
from backend_server.components.desktop import desktop
from backend_server.components.docker import docker
from backend_server.components.firewall import firewall
from backend_server.components.hosts import hosts
from backend_server.components.hyperv import HOSTS_SERVICES, hyperv
from backend_server.components.identity import identity
from backend_server.components.jobrunner import jobrunner, places
from backend_server.components.kernel import kernel
from backend_server.components.keys import keys
from backend_server.components.lockout import lockout
from backend_server.components.login import login
from backend_server.components.logs import logs
from backend_server.components.narrowing import narrowing
from backend_server.components.outputs import outputs
from backend_server.components.packages import packages
from backend_server.components.people import leavers, people
from backend_server.components.services import container, environment
from backend_server.components.ssh import ssh
from backend_server.components.storage import storage
from backend_server.components.sudo import sudo
from backend_server.components.tidy import tidy
from backend_server.engine import Component, component, well_formed
from backend_server.errors import Refused
from backend_server.gather import Site
from backend_server.service import Service


def load(name: str, checkout: Path) -> Backend:
    """What NAME/backend.py in the checkout declares. Raises Refused where there is none."""
    path = checkout / name / "backend.py"
    spec = importlib.util.spec_from_file_location(f"{name}_backend", str(path))
    if spec is None or spec.loader is None or not path.exists():
        raise Refused(
            f"there is no backend {name}: {path} is missing",
            hint="run the manage.sh of one of the backends in this checkout",
        )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    backend: Backend = module.BACKEND
    return backend


def declare(site: Site) -> tuple[Component, ...]:
    """All that should be so, in the order of work. Pure: it looks at no host.

    Raises Refused where the declaration contradicts itself.
    """
    components = tuple(_everywhere(site))
    well_formed(components)
    return components


def services(site: Site) -> tuple[Service, ...]:
    """What runs in containers on this backend."""
    return services_of(site.backend)


def services_of(backend: Backend) -> tuple[Service, ...]:
    """The same, from backend.py alone. Raises Refused where it follows for another service."""
    found = (jobrunner(backend),)
    names = [each.name for each in found]
    for follow in backend.follows:
        if follow.service not in names:
            raise Refused(
                f"{backend.name}/backend.py follows a tag for {follow.service!a}, "
                "which is no service here",
                hint=f"choose from {', '.join(names)}",
            )
    return found


def _everywhere(site: Site) -> Iterator[Component]:
    yield component("identity", identity(site))
    yield component("leavers", leavers(site))
    yield component("people", people(site))
    yield component("keys", keys(site), needs=("people",))
    yield component("narrowing", narrowing(site), needs=("people",))
    yield component("hosts", hosts(site))
    yield component("packages", packages(site))
    yield component("ssh", ssh(site), needs=("people", "keys"))
    yield component("sudo", sudo(site), needs=("people", "packages"))
    yield component("storage", storage(site), needs=("people", "packages"))
    # Without the rules, containers would reach everything that the host does.
    yield component("firewall", firewall(site), needs=("packages",))
    (runner,) = services(site)
    parts = tuple(docker(site, frozenset({runner.name})))
    yield component("docker", parts, needs=("people", "packages", "firewall"))
    yield component("environment", environment(site))
    parts = (*places(site), *container(site, runner))
    needs = ("people", "storage", "docker", "environment")
    yield component("jobrunner", parts, needs=needs)
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
    yield component("logs", logs(site))
    yield component("kernel", kernel(site))
    if site.backend.hyperv:
        first = ("packages",)
        yield component("hyperv", hyperv(site), first, device=HOSTS_SERVICES)
        yield component("clock", clock(site), first, device=HOSTS_CLOCK)
