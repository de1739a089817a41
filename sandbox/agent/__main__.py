"""The loop: ask for tasks, take each a step further, sleep. What goes wrong ends it.

A second thread asks as well, now and then, to know whose the containers are that it measures.
"""

from __future__ import annotations

import logging
import os
import threading
import time

from sandbox.agent import config, database, said, tasks, telemetry
from sandbox.agent.job import Job
from sandbox.agent.tasks import Task


log = logging.getLogger(__name__)


def main() -> None:
    said.begin()
    telemetry.begin(os.environ)
    log.info("agent.service started")
    settings = config.read(os.environ)
    threading.Thread(target=measure, args=(settings,), name="mtrc", daemon=True).start()
    log.info("agent.main loop started")
    while True:
        loop(settings)
        time.sleep(settings.interval_s)


def loop(settings: config.Config) -> None:
    """Each task is one step further. One that errs keeps none from its turn, and then ends all."""
    erred = 0
    for task in tasks.listed(settings):
        with said.of(task=task.id, task_type=task.type.upper()):
            try:
                handle(settings, task)
            except Exception:
                log.exception("task error")
                erred += 1
    if erred:
        # Nobody tells the controller: whoever starts the agent anew tries again.
        raise RuntimeError("Some tasks failed, restarting agent loop")


def measure(settings: config.Config) -> None:
    while True:
        time.sleep(max(2, settings.measures_s))
        try:
            tasks.listed(settings)
        except Exception:
            log.exception("Exception in mtrc thread")


def handle(settings: config.Config, task: Task) -> None:
    """The task is one step further, and the controller knows."""
    if task.type in database.QUESTIONS:
        tasks.update(settings, task, "", database.ask(settings, task), complete=True)
        return
    job = Job(settings, tasks.definition(task))
    about = {key: job.definition[key] for key in ("id", "workspace", "action")}
    telemetry.span(task=task.id, task_type=task.type.upper(), **about)
    with said.of(id=job.definition["id"], task=task.id, task_type=task.type.upper()):
        (run if task.type == "runjob" else cancel)(settings, task, job)


def run(settings: config.Config, task: Task, job: Job) -> None:
    stage = job.stage()
    if stage == "unknown":
        reach(settings, task, job, stage, "preparing")
        job.prepare()
        reach(settings, task, job, "preparing", "prepared")
    elif stage == "prepared":
        job.execute()
        reach(settings, task, job, stage, "executing")
    elif stage == "executing":
        tasks.update(settings, task, "executing")
    elif stage == "executed":
        tasks.update(settings, task, "executed")
        reach(settings, task, job, stage, "finalizing")
        job.finalize()
        end(settings, task, job)
    else:
        end(settings, task, job)


def cancel(settings: config.Config, task: Task, job: Job) -> None:
    stage = job.stage()
    if stage != "finalized":
        job.kill()
        reach(settings, task, job, stage, "finalizing")
        job.finalize(cancelled=True)
    end(settings, task, job)


def reach(
    settings: config.Config, task: Task, job: Job, before: str, stage: str
) -> None:
    """The log and the controller know how far the job has come."""
    states = f"ExecutorState.{before.upper()} -> ExecutorState.{stage.upper()}"
    log.info("State change for job %s: %s", job.definition["id"], states)
    tasks.update(settings, task, stage)


def end(settings: config.Config, task: Task, job: Job) -> None:
    """Reported, if need be once more, and then cleaned up after."""
    results = job.results()
    tasks.update(settings, task, "finalized", results, complete=True)
    job.clean()
    log.info("%s: %s", job.name, results["status_message"])


if __name__ == "__main__":
    main()
