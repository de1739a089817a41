"""Jobs on a host, given by the controller and run by the agent, as the tests need them."""

from __future__ import annotations

import contextlib
import json
from typing import Iterator

from sandbox.controller import MODERATE, Controller, Job
from sandbox.host import Host
from tests.hosts.managing import manage
from tests.hosts.programs import wait_until


UNIT = "opensafely-jobrunner.service"
# Runs until somebody lays the file it waits for, so that no test guesses at times.
WAITS = """
import pathlib, time
pathlib.Path("out.csv").write_text("a,b\\n1,2\\n")
print("at work", flush=True)
while not pathlib.Path("go").exists():
    time.sleep(0.1)
print("done", flush=True)
"""


def give(controller: Controller, **fields) -> Job:
    """A job that waits is on the list."""
    outputs = {"out.csv": MODERATE}
    return controller.add("test", "-c", WAITS, outputs=outputs, **fields)


@contextlib.contextmanager
def running(host: Host, controller: Controller, **fields) -> Iterator[Job]:
    """A job that runs meanwhile. Afterwards it is off the list, and nothing of it is left."""
    job = give(controller, **fields)
    try:
        wait_until(lambda: at_work(host, job), timeout_s=120)
        yield job
    finally:
        controller.withdraw(job.task)
        host.run(f"docker rm -f {job.container}; rm -rf {folder(job)}", check=False)


def folder(job: Job) -> str:
    return f"/srv/high_privacy/volumes/{job.id}"


def finish(host: Host, controller: Controller, job: Job) -> dict:
    """What the agent told the controller once the job had what it waited for."""
    host.run(f"touch {folder(job)}/go")
    return controller.wait(job.task, timeout_s=120)["results"]


def started(host: Host, job: Job) -> str:
    """When its container started; nothing while it does not run."""
    show = "--format '{{if .State.Running}}{{.State.StartedAt}}{{end}}'"
    done = host.run(f"docker inspect {show} {job.container}", check=False)
    return done.stdout.strip()


def at_work(host: Host, job: Job) -> bool:
    return "at work" in host.run(f"docker logs {job.container}", check=False).stdout


def unit_started(host: Host) -> str:
    show = "systemctl show --property=ActiveEnterTimestampMonotonic --value"
    return host.run(f"{show} {UNIT}").stdout.strip()


def listed(host: Host) -> dict[str, dict]:
    """What `job list` says, by id."""
    done = manage(host, "job list --json")
    assert done.returncode == 0, done.stderr
    return {job["id"]: job for job in json.loads(done.stdout)["jobs"]}


def status(host: Host, exit_status: int = 0) -> dict:
    done = manage(host, "status --json")
    assert done.returncode == exit_status, done.stdout + done.stderr
    return json.loads(done.stdout)


def settled(host: Host) -> None:
    """The agent that ended with docker has been up for so long that this is no loop."""
    wait_until(lambda: _settled(host), timeout_s=90)


def _settled(host: Host) -> bool:
    done = manage(host, "status --json")
    services = json.loads(done.stdout)["services"]
    # One that ends for the third time in a moment is none that ends again and again yet.
    return done.returncode == 0 and all(x["state"] == "running" for x in services)


def complete(host: Host, job: Job) -> None:
    """All that the job put out is where people look for it."""
    workspace = f"workspaces/{job.definition['workspace']}"
    for tree in ("high", "medium"):
        found = host.run(f"cat /srv/{tree}_privacy/{workspace}/out.csv").stdout
        assert found == "a,b\n1,2\n"
