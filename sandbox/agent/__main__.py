"""The loop: ask for tasks, take each a step further, sleep. What goes wrong ends it."""

from __future__ import annotations

import os
import time
from typing import Any, Mapping

from sandbox.agent import config, tasks
from sandbox.agent.job import CannotRun, Job


def main() -> None:
    settings = config.read(os.environ)
    print("agent.main loop started", flush=True)
    while True:
        for task in tasks.listed(settings):
            handle(settings, task)
        time.sleep(settings.interval_s)


def handle(settings: config.Config, task: Mapping[str, Any]) -> None:
    """The task is one step further, and the controller knows."""
    job = Job(settings, task["definition"])
    try:
        {"runjob": run, "canceljob": cancel}[task["type"]](settings, task, job)
    except CannotRun as error:
        print(f"{job.name}: {error}", flush=True)
        job.clean()
        tasks.update(settings, task, "error", {"error": str(error)}, complete=True)


def run(settings: config.Config, task: Mapping[str, Any], job: Job) -> None:
    stage = job.stage()
    if stage == "unknown":
        tasks.update(settings, task, "preparing")
        job.prepare()
        tasks.update(settings, task, "prepared")
    elif stage == "prepared":
        job.execute()
        print(f"{job.name}: started", flush=True)
        tasks.update(settings, task, "executing")
    elif stage == "executing":
        tasks.update(settings, task, "executing")
    elif stage == "executed":
        tasks.update(settings, task, "executed")
        tasks.update(settings, task, "finalizing")
        job.finalize()
        end(settings, task, job)
    else:
        end(settings, task, job)


def cancel(settings: config.Config, task: Mapping[str, Any], job: Job) -> None:
    if job.stage() != "finalized":
        job.kill()
        tasks.update(settings, task, "finalizing")
        job.finalize(cancelled=True)
    end(settings, task, job)


def end(settings: config.Config, task: Mapping[str, Any], job: Job) -> None:
    """Reported, if need be once more, and then cleaned up after."""
    results = job.results()
    tasks.update(settings, task, "finalized", results, complete=True)
    job.clean()
    print(f"{job.name}: {results['status_message']}", flush=True)


if __name__ == "__main__":
    main()
