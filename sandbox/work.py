"""A job at the end of a trial: from the controller to its outputs, by what the host has."""

from __future__ import annotations

import time
from typing import Protocol

from sandbox.command import Done
from sandbox.controller import HIGH, MODERATE, Controller, Job
from sandbox.errors import SandboxError
from sandbox.progress import Step


UNIT = "opensafely-jobrunner.service"
WORKSPACE = "trial"
PROGRAM = """\
import os
os.mkdir("output")
with open("output/patients.csv", "w") as file:
    file.write("patient_id,age\\n1,30\\n2,40\\n")
with open("output/counts.csv", "w") as file:
    file.write("age,patients\\n30,1\\n40,1\\n")
print("counted 2 patients")
"""
OUTPUTS = {"output/patients.csv": HIGH, "output/counts.csv": MODERATE}
WANTED = (
    "/srv/high_privacy/workspaces/trial/output/patients.csv",
    "/srv/high_privacy/workspaces/trial/output/counts.csv",
    "/srv/medium_privacy/workspaces/trial/output/counts.csv",
    "/srv/medium_privacy/workspaces/trial/metadata/manifest.json",
)


class Reached(Protocol):
    """A host whose root we are, new or kept."""

    @property
    def address(self) -> str: ...

    def run(self, command: str, check: bool = True) -> Done: ...


def expected(host: Reached) -> bool:
    """Whether this host has a job-runner, as far as systemd knows."""
    return host.run(f"systemctl cat {UNIT}", check=False).returncode == 0


def add(controller: Controller, backend: str) -> Job:
    """A job with an output for each level."""
    return controller.add(
        backend, "-c", PROGRAM, outputs=OUTPUTS, workspace=WORKSPACE, action="count"
    )


def do(
    host: Reached, controller: Controller, backend: str, patience_s: float = 180
) -> str:
    """The job has run and its outputs are there: an account of it, for people."""
    try:
        with Step("waiting for the job-runner to ask for work"):
            controller.wait_poll(address=host.address, timeout_s=patience_s)
        began = time.monotonic()
        job = add(controller, backend)
        with Step("a job"):
            result = controller.wait(job.task, timeout_s=patience_s)["results"]
    except SandboxError as error:
        raise SandboxError(f"{error}\n{journal(host)}") from None
    if result["exit_code"] != 0:
        raise SandboxError(f"{job.container}: {result['status_message']}\n{result}")
    stages = ", ".join(controller.stages(job.task))
    took = time.monotonic() - began
    lines = [f"\nA job, {job.container}: {stages} ({took:.1f} s)"]
    return "\n".join([*lines, *(f"  {line}" for line in outputs(host))])


def outputs(host: Reached) -> list[str]:
    """Owner, mode and path of each file that the job should have left."""
    form = "%u:%g %M %p\\n"
    found = host.run(f"find {' '.join(WANTED)} -printf '{form}'", check=False)
    if found.returncode:
        raise SandboxError(f"the job was done, but left no output:\n{found.stderr}")
    return found.stdout.splitlines()


def journal(host: Reached) -> str:
    """What the job-runner's unit said last."""
    line = f"journalctl --no-pager --lines 20 --unit {UNIT}"
    return host.run(line, check=False).stdout
