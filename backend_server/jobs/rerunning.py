"""The end of a job that begins anew, as the job-runner's own kill_task brings it about."""

from __future__ import annotations

from backend_server.host import Host
from backend_server.jobs.listing import MARK, VOLUMES, Job
from backend_server.text.errors import Refused


def rerun(host: Host, job: Job) -> None:
    """Neither container nor folder is there: the job-runner knows nothing of it, and prepares it.

    The mark goes first, or without its container it would count as prepared, and start in what
    it left. The folder is out of the way in one step, or what comes anew would go with it.
    """
    folder, gone = f"{VOLUMES}/{job.id}", f"{VOLUMES}/{job.id}.gone"
    if host.stat(folder) is None:
        raise Refused(
            f"{job.id} only asks, and nobody would ask again", "sudo backend job kill"
        )
    host.remove(f"{folder}/{MARK}")
    host.run("docker", "rm", "--force", job.container)
    host.run("rm", "-rf", "--one-file-system", gone)
    host.run("mv", "--no-target-directory", folder, gone)
    host.run("rm", "-rf", "--one-file-system", gone)
