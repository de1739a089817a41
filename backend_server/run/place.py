"""Which backend a command is about, what the checkout says of it, and whether it can be this host."""

from __future__ import annotations

import re
import shlex
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType

from backend_server.base.component.identity import BACKEND_FILE
from backend_server.checkout import Backend, Service
from backend_server.checkout.gather import Site, gather
from backend_server.host import HostReader
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


def named_so(backend: str, checkout: str) -> None:
    """Raises Refused where this could be no backend's name: it stands in units, URLs and sentences."""
    if not re.fullmatch(r"[a-z][a-z0-9-]*", backend):
        raise Refused(
            f"the folder {backend!a} is no name of a backend; wanted a to z, then a to z, 0 to 9 and -",
            hint=f"ls {checkout}/*/manage.sh",
        )


def load(name: str, checkout: Path) -> Backend:
    """What NAME/backend.py in the checkout declares. Raises Refused where that is nothing."""
    path = checkout / name / "backend.py"
    if not path.exists():
        hint = f"ls {checkout}/*/manage.sh"
        raise Refused(f"there is no backend {name}: {path} is missing", hint)
    module = ModuleType(name)
    try:
        # No import: of a file that was changed within the second the old bytecode would be taken,
        # and where a branch has no such folder, bytecode would keep one.
        exec(compile(path.read_bytes(), str(path), "exec"), vars(module))
        backend: Backend = module.BACKEND
        says = backend.name
    except Exception as error:  # it is Python, and somebody's
        line = f":{error.lineno}" if isinstance(error, SyntaxError) else ""
        why = f"{type(error).__name__}: {error}"
        what = f"{name}/backend.py{line} cannot be read: {why}"
        raise Refused(what, hint=f"git -C {checkout} diff {name}/backend.py") from None
    if says != name:  # copied, most likely: it would become the other one
        raise Refused(
            f"{name}/backend.py has name={says!a}; wanted {name!a}, as its folder is called",
            hint=f"sed -i 's/^    name=.*/    name=\"{name}\",/' {path}",
        )
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


# ---- what must be so before a host is managed at all


def can_be_managed(host: HostReader) -> None:
    """Raises Refused where systemd is not what runs this machine."""
    if host.stat("/run/systemd/system") is None:
        raise Refused(
            "systemd does not run this machine; wanted a booted Ubuntu server",
            hint="sudo ./scripts/sandbox.sh test",
        )


def plain_path(checkout: Path) -> None:
    """Raises Refused where a unit or a shell would read the path of the checkout otherwise."""
    if not re.fullmatch(r"[\w/.+@:,=~-]+", str(checkout), re.ASCII):
        better = re.sub(r"[^\w/.+@:,=~-]+", "-", str(checkout), flags=re.ASCII)
        raise Refused(
            f"the checkout is at {str(checkout)!a}; wanted a path without blanks, quotes, % and $",
            hint=f"mkdir -p {Path(better).parent} && mv {shlex.quote(str(checkout))} {better}",
        )


def is_first_run(host: HostReader) -> bool:
    return host.stat(BACKEND_FILE) is None


def same_backend(asked: Asked, host: HostReader) -> None:
    """Raises Refused where this host has already become another backend."""
    found = (host.read(BACKEND_FILE) or asked.backend).strip()
    if found != asked.backend:
        hint = f"sudo {asked.checkout}/{found}/manage.sh"
        raise Refused(f"this host is the backend {found}; wanted {asked.backend}", hint)
