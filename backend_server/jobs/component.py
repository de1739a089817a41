"""The job-runner, and what looks after its host: images that go, and proofs after a maintenance."""

from __future__ import annotations

from typing import Iterator

from backend_server.base.verbatim import by_timer, filled, verbatim
from backend_server.checkout import Backend, Service, Site
from backend_server.jobs.database import URL
from backend_server.resources import UNITS, Directory, File, Resource, Unit
from backend_server.services.environment import HEADERS, telemetry
from backend_server.storage.component import HIGH_TREE, MEDIUM_TREE
from backend_server.text.roles import OPENSAFELY, OPENSAFELY_ID


WORKDIR = "/var/lib/opensafely/jobrunner"  # its caches; the image calls it /workdir
CERTIFICATES = "/etc/opensafely/certificates"  # the same path inside and outside
_SECRETS = ("CONTROLLER_TASK_API_TOKEN", "PRIVATE_REPO_ACCESS_TOKEN")
SOCKET = "/var/run/docker.sock"
# Names for the numbers that it sees, and nobody else's: a list of people is not its business.
PASSWD = "/etc/opensafely/containers/passwd"
GROUP = "/etc/opensafely/containers/group"


def jobrunner(backend: Backend) -> Service:
    """Hands storage paths to the host's docker, so they are the same inside and outside."""
    database = () if backend.dummy_data else (URL,)
    headers = (HEADERS,) if backend.telemetry else ()
    return Service(
        name="jobrunner",
        title="runs the jobs that the controller asks for",
        image="opensafely-core/job-runner",
        uid=OPENSAFELY_ID,
        gid=OPENSAFELY_ID,
        command=("/app/docker/scripts/agent.sh",),
        mounts=(
            # rslave: what is mounted below while it runs, as an archive's disk, it sees too.
            f"{HIGH_TREE}:{HIGH_TREE}:rslave",
            f"{MEDIUM_TREE}:{MEDIUM_TREE}:rslave",
            f"{WORKDIR}:/workdir",
            f"{SOCKET}:{SOCKET}",
            f"{CERTIFICATES}:{CERTIFICATES}:ro",
            "/etc/hosts:/etc/hosts:ro",
            f"{PASSWD}:/etc/passwd:ro",
            f"{GROUP}:/etc/group:ro",
        ),
        environment=(
            ("WORKDIR", "/workdir"),
            ("DOCKER_HOST", f"unix://{SOCKET}"),
            ("OTEL_SERVICE_NAME", f"agent-{backend.name}"),
            *telemetry(backend),
        ),
        secrets=(*_SECRETS, *database, *headers),
        docker=True,
        disk=backend.archives_disk,
    )


def places(site: Site) -> Iterator[Resource]:
    """What it needs beside the trees: its caches, certificates, and names for numbers."""
    units = tuple(each.unit for each in site.services)
    yield Directory(WORKDIR, mode=0o750, owner=OPENSAFELY, group=OPENSAFELY)
    yield Directory(CERTIFICATES, mode=0o750, group=OPENSAFELY)
    for path in (PASSWD, GROUP):
        yield File(path, filled(site, path, id=str(OPENSAFELY_ID)), notify=units)


_PROOFS = "opensafely-proofs.service"


def tidy(site: Site) -> Iterator[Resource]:
    """Nothing here stops or restarts anything."""
    yield from by_timer(site, "opensafely-tidy")
    yield verbatim(site, f"{UNITS}/{_PROOFS}")
    yield Unit(_PROOFS, running=None)
