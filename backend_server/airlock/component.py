"""Airlock, as this host runs it: its service, what its page is known by, and the window for reviewers."""

from __future__ import annotations

import posixpath
from typing import Iterator

from backend_server.airlock.page import FOLDER, Certificate
from backend_server.airlock.secret_key import SecretKey
from backend_server.base.verbatim import by_timer, verbatim
from backend_server.checkout.backend import Airlock, Backend
from backend_server.checkout.gather import Site
from backend_server.checkout.service import AIRLOCKS, Service
from backend_server.engine.resource import Resource
from backend_server.jobs.component import GROUP, PASSWD
from backend_server.resources import UNITS, Directory, File, Packages, Unit
from backend_server.services.component import container
from backend_server.storage.component import REQUESTS_TREE, WORKSPACES
from backend_server.text.roles import MEDIUM, OPENSAFELY, OPENSAFELY_ID


NAME = "airlock"
WORKDIR = posixpath.dirname(AIRLOCKS)
_KEY = "DJANGO_SECRET_KEY"
_WINDOW = "opensafely-airlock-window"


def service(backend: Backend, what: Airlock) -> Service:
    """Outputs are read-only to it; it sees trees where the host has them."""
    outputs = WORKSPACES[MEDIUM]
    certificate = ("--certfile", "/certs/tls.crt", "--keyfile", "/certs/tls.key")
    return Service(
        name=NAME,
        title="where outputs are reviewed and released",
        image="opensafely-core/airlock",
        uid=OPENSAFELY_ID,
        gid=OPENSAFELY_ID,
        command=(
            "gunicorn",
            "--config",
            "gunicorn.conf.py",
            *certificate,
            "airlock.wsgi",
        ),
        mounts=(
            f"{outputs}:{outputs}:ro",
            f"{REQUESTS_TREE}:{REQUESTS_TREE}",
            f"{WORKDIR}:/workdir",
            f"{FOLDER}:/certs:ro",
            "/etc/hosts:/etc/hosts:ro",
            f"{PASSWD}:/etc/passwd:ro",
            f"{GROUP}:/etc/group:ro",
        ),
        environment=(
            ("AIRLOCK_WORK_DIR", "/workdir/"),
            ("AIRLOCK_WORKSPACE_DIR", f"{outputs}/"),
            ("AIRLOCK_REQUEST_DIR", f"{REQUESTS_TREE}/"),
            ("AIRLOCK_API_ENDPOINT", f"https://{what.api}/api/v2"),
            ("DJANGO_ALLOWED_HOSTS", what.name),
            ("DJANGO_DEBUG", "False"),
        ),
        secrets=("AIRLOCK_API_TOKEN", _KEY),
        route=(f"{what.api}:443",),
        publish=f"{'0.0.0.0' if what.level4 else '127.0.0.1'}:443:8000",
        open_to=what.level4,
        keeps=(AIRLOCKS, REQUESTS_TREE),
        steady_s=10,
    )


def airlock(site: Site, what: Airlock) -> Iterator[Resource]:
    """Whoever answers at its port has the certificate."""
    yield Packages("airlock", frozenset({"openssl", "rsync"}))
    yield Directory(FOLDER)
    yield File(f"{FOLDER}/name", f"{what.name}\n")  # for the window
    yield Certificate(what.name)
    yield from by_timer(site, "opensafely-certificate")
    yield Directory(WORKDIR, mode=0o700, owner=OPENSAFELY, group=OPENSAFELY)
    yield SecretKey(_KEY)
    yield from container(site, service(site.backend, what))
    for name in ("daily", "look"):
        yield from by_timer(site, f"opensafely-airlock-{name}")


def window(site: Site) -> Iterator[Resource]:
    """What its windows have of the host: a way to the page, and nowhere else."""
    for kind in ("service", "socket"):
        yield verbatim(site, f"{UNITS}/{_WINDOW}.{kind}", notify=f"{_WINDOW}.{kind}")
    yield Unit(f"{_WINDOW}.socket")
    yield Unit(f"{_WINDOW}.service", enabled=None, running=None)
