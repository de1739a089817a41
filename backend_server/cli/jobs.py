"""job …: what runs here now, what it says, a look inside, and its end."""

from __future__ import annotations

import sys

from backend_server.cli.ending import Logs, become, passed_on, told
from backend_server.engine.history import who
from backend_server.engine.notices import event
from backend_server.host import command
from backend_server.host.question import agreed
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.jobs import listing
from backend_server.jobs.listing import Job
from backend_server.run.place import Asked, Named, of_host_itself
from backend_server.services import states
from backend_server.text.errors import OK, Refused


def list_jobs(options: Asked) -> int:
    """Every job on this host."""
    host = HostReader()
    this = of_host_itself(options, host)
    erring = [each for s in states.states(this, host) for each in s.erring]
    found = listing.listed(host, this.backend, erring)
    lines = [
        line
        for job in found
        for line in (
            str(job),
            *(f"          errs: {job.error}" for _ in range(bool(job.error))),
            *(f"          not confined: {w}" for w in job.unconfined),
        )
    ]
    jobs = [job._asdict() for job in found]
    told(options, {"jobs": jobs}, lines or ["no job is here"])
    return OK


def job_logs(options: Logs) -> int:
    """What a job has said so far, or, of one that has ended, what the job-runner kept."""
    host = HostReader()
    found = [job for job in _found(options, host) if job.container]
    kept = dict(listing.kept_logs(host))
    past = [
        Job(each, listing.FINISHED, "")
        for each in kept
        if each not in {job.id for job in found}
    ]
    job = listing.one([*found, *past], options.subject)
    follow = ("--follow",) if options.follow else ()
    argv = ("docker", "logs", *follow, job.container)
    if not job.container:
        argv = ("cat", "--", kept[job.id])
    return passed_on(options, options.follow and bool(job.container), *argv)


def job_shell(options: Named) -> int:
    """A shell inside a job's container, as the job itself, while it runs."""
    host = Host()
    job = _running(options, host)
    if options.json or not sys.stdin.isatty():
        raise Refused(
            "a shell needs a terminal, and this is none", hint="backend job logs"
        )
    _event(
        host,
        options,
        "job shell",
        job,
        f"{who(host)} opened a shell inside job {job.id}",
    )
    become(options, "docker", "exec", "-it", job.container, *command.SHELL)


class Kill(Named):
    yes: bool = False


def kill(options: Kill) -> int:
    """A job has ended at once. The job-runner reports that to the controller."""
    host = Host()
    job = _running(options, host)
    _agree(job, options.yes)
    host.run("docker", "kill", job.container)
    _event(host, options, "job kill", job, f"{who(host)} killed job {job.id}")
    told(options, {"subject": job.id}, [f"{job.id} was killed"])
    return OK


def _running(options: Named, host: HostReader) -> Job:
    return listing.one(listing.running(_found(options, host)), options.subject)


def _found(options: Asked, host: HostReader) -> list[Job]:
    return listing.listed(host, of_host_itself(options, host).backend)


def _event(host: Host, asked: Asked, what: str, job: Job, sentence: str) -> None:
    more = {"workspace": job.workspace, "action": job.action}
    event(host, str(asked.checkout), what, sentence, subject=job.id, **more)


def _agree(job: Job, yes: bool) -> None:
    """Somebody agrees that a job loses what it has done so far, or Refused is raised."""
    if yes:
        return
    agreed(
        f"job {job.id} would lose what it has done so far, and nobody is here to "
        "confirm that",
        (f"{job}. It loses what it has done so far, and ends as failed.",),
        "Type yes to kill it: ",
        "the answer was not yes; it runs on",
    )
