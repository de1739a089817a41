"""Airlock as a service, which every command knows."""

from __future__ import annotations

import posixpath

from backend_server.checkout.backend import Airlock, Backend
from backend_server.checkout.service import AIRLOCKS, PAGE, Service
from backend_server.jobs.component import GROUP, PASSWD
from backend_server.services.environment import HEADERS, telemetry
from backend_server.storage.component import REQUESTS_TREE, REVIEW_TREE
from backend_server.text.roles import OPENSAFELY_ID


NAME = "airlock"
WORKDIR = posixpath.dirname(AIRLOCKS)
KEY = "DJANGO_SECRET_KEY"
_COMMAND = "gunicorn --config gunicorn.conf.py --certfile /certs/tls.crt --keyfile /certs/tls.key airlock.wsgi"


def service(backend: Backend, what: Airlock) -> Service:
    """What it shows is read-only to it, and no reviewer's; it sees trees where the host has them."""
    return Service(
        name=NAME,
        title="where outputs are reviewed and released",
        image="opensafely-core/airlock",
        uid=OPENSAFELY_ID,
        gid=OPENSAFELY_ID,
        command=tuple(_COMMAND.split()),
        mounts=(
            f"{REVIEW_TREE}:{REVIEW_TREE}:ro",
            f"{REQUESTS_TREE}:{REQUESTS_TREE}",
            f"{WORKDIR}:/workdir",
            f"{PAGE}:/certs:ro",
            "/etc/hosts:/etc/hosts:ro",
            f"{PASSWD}:/etc/passwd:ro",
            f"{GROUP}:/etc/group:ro",
        ),
        environment=(
            ("AIRLOCK_WORK_DIR", "/workdir/"),
            ("AIRLOCK_WORKSPACE_DIR", f"{REVIEW_TREE}/"),
            ("AIRLOCK_REQUEST_DIR", f"{REQUESTS_TREE}/"),
            ("AIRLOCK_API_ENDPOINT", f"https://{what.api}/api/v2"),
            ("DJANGO_ALLOWED_HOSTS", what.name),
            ("DJANGO_DEBUG", "False"),
            ("OTEL_SERVICE_NAME", f"{NAME}-{backend.name}"),
            *telemetry(backend),
        ),
        secrets=("AIRLOCK_API_TOKEN", KEY, *([HEADERS] if backend.telemetry else [])),
        route=(f"{what.api}:443", *backend.collector),
        publish=f"{'0.0.0.0' if what.level4 else '127.0.0.1'}:443:8000",
        open_to=what.level4,
        keeps=(AIRLOCKS, REQUESTS_TREE),
        page=f"{what.name}/login/",
        steady_s=10,
    )
