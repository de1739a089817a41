"""The job-runner: asks the controller for work, and runs it in containers."""

from __future__ import annotations

from backend_server.backend import Backend
from backend_server.components.storage import HIGH_TREE, MEDIUM_TREE
from backend_server.roles import OPENSAFELY_ID
from backend_server.service import Service


WORKDIR = "/var/lib/opensafely/jobrunner"  # its caches; the image calls it /workdir
CERTIFICATES = "/etc/opensafely/certificates"  # the same path inside and outside
SOCKET = "/var/run/docker.sock"
# Names for the numbers that it sees, and nobody else's: a list of people is not its business.
PASSWD = "/etc/opensafely/containers/passwd"
GROUP = "/etc/opensafely/containers/group"


def jobrunner(backend: Backend) -> Service:
    """Hands storage paths to the host's docker, so they are the same inside and outside."""
    database = () if backend.dummy_data else ("DEFAULT_DATABASE_URL",)
    return Service(
        name="jobrunner",
        title="runs the jobs that the controller asks for",
        image="opensafely-core/job-runner",
        uid=OPENSAFELY_ID,
        gid=OPENSAFELY_ID,
        command=("/app/docker/scripts/agent.sh",),
        mounts=(
            f"{HIGH_TREE}:{HIGH_TREE}",
            f"{MEDIUM_TREE}:{MEDIUM_TREE}",
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
        ),
        secrets=(
            "CONTROLLER_TASK_API_TOKEN",
            "PRIVATE_REPO_ACCESS_TOKEN",
            *database,
        ),
        optional_secrets=("OTEL_EXPORTER_OTLP_HEADERS",),
        docker=True,
    )
