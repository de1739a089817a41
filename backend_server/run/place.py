"""Which backend a command is about, and what the checkout says of it."""

from __future__ import annotations

import importlib.util
from datetime import datetime, timezone
from pathlib import Path

from backend_server.checkout.backend import Backend
from backend_server.checkout.gather import Site, gather
from backend_server.checkout.service import Service
from backend_server.host.reader import HostReader
from backend_server.jobs.component import jobrunner
from backend_server.text.errors import Refused
from backend_server.text.frozen import Frozen
from backend_server.text.releases import Release, of_host


class Asked(Frozen):
    """What every command is asked: of which backend, from where, and for whom to read."""

    backend: str
    checkout: Path
    json: bool = False


class Named(Asked):
    """Of one thing or person in particular."""

    subject: str = ""


def load(name: str, checkout: Path) -> Backend:
    """What NAME/backend.py in the checkout declares. Raises Refused where that is nothing."""
    path = checkout / name / "backend.py"
    spec = importlib.util.spec_from_file_location(f"{name}_backend", str(path))
    if spec is None or spec.loader is None or not path.exists():
        raise Refused(
            f"there is no backend {name}: {path} is missing",
            hint="run the manage.sh of one of the backends in this checkout",
        )
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        backend: Backend = module.BACKEND
    except Exception as error:  # it is Python, and somebody's
        line = f":{error.lineno}" if isinstance(error, SyntaxError) else ""
        what = (
            f"{name}/backend.py{line} cannot be read: {type(error).__name__}: {error}"
        )
        raise Refused(what, hint=f"git -C {checkout} diff {name}/backend.py") from None
    return backend


def services_of(backend: Backend) -> tuple[Service, ...]:
    """What runs in containers on it. Raises Refused where it follows for another service."""
    others = [*backend.services]
    if backend.airlock:
        from backend_server.airlock.declared import service  # where it is, only

        others.insert(0, service(backend, backend.airlock))
    theirs = frozenset(name for each in others for name in each.secrets)
    agent = jobrunner(backend)
    found = (agent._replace(others=theirs - {*agent.secrets}), *others)
    names = [each.name for each in found]
    for follow in backend.follows:
        if follow.service not in names:
            raise Refused(
                f"{backend.name}/backend.py follows a tag for {follow.service!a}, "
                "which is no service here",
                hint=f"choose from {', '.join(names)}",
            )
    return found


def of_host_itself(asked: Asked, host: HostReader) -> Site:
    """What the checkout says of this host."""
    return site(asked, of_host(host.os_release()))


def site(asked: Asked, release: Release) -> Site:
    """What the checkout says of the backend that was asked for."""
    backend = load(asked.backend, asked.checkout)
    today = datetime.now(timezone.utc).date()
    found = gather(backend, release, asked.checkout, today)
    return found._replace(services=services_of(backend))
