"""job …: what runs here now, what it says, a look inside, and its end."""

from __future__ import annotations

import sys
import time
from typing import Iterator, Sequence

from backend_server.cli.ending import Logs, become, passed_on, told
from backend_server.engine.history import who
from backend_server.engine.notices import event
from backend_server.host import Host, HostReader, command
from backend_server.host.question import agreed
from backend_server.jobs import listing, rerunning
from backend_server.jobs.listing import Job
from backend_server.run.place import Asked, Named, of_host_itself
from backend_server.services import agent as log
from backend_server.services import states
from backend_server.text.errors import Refused


def list_jobs(options: Asked, host: HostReader, *, since: int = 0) -> int:
    """Every job on this host, and those that ended in the last seconds that were asked for."""
    this = of_host_itself(options, host)
    erring = [each for s in states.states(this, host) for each in s.erring]
    found = listing.listed(host, this.backend, erring)
    if since:
        here = {job.id for job in found}
        ended = listing.ended(host, time.time() - since)
        found += [job for job in ended if job.id not in here]
    lines = [line for job in found for line in _lines(job)]
    jobs = [job._asdict() for job in found]
    return told(options, {"jobs": jobs}, lines or ["no job is here"])


def _lines(job: Job) -> Iterator[str]:
    yield str(job)
    if job.error:
        yield f"          {'errs' if job.state != listing.ENDED else 'how'}: {job.error}"
    yield from (f"          not confined: {why}" for why in job.unconfined)


def job_logs(options: Logs, host: HostReader, *, agent: bool = False) -> int:
    """What a job has said so far, or what was kept; with `agent` what the job-runner says of it."""
    if agent:
        services = of_host_itself(options, host).services
        name = next(each.name for each in services if each.docker)
        lines = list(log.about(host, name, options.subject))
        if not lines:
            why = f"{name} has said nothing of a job with {options.subject!a} in the id"
            raise Refused(why, "sudo backend job list --since 2d")
        return told(options, {"subject": options.subject, "lines": lines}, lines)
    kept = dict(listing.kept_logs(host))
    jobs = {each: Job(each, listing.FINISHED, "") for each in kept}
    jobs.update((job.id, job) for job in _found(options, host) if job.container)
    job = listing.one(list(jobs.values()), (), options.subject)
    follow = ("--follow",) if options.follow else ()
    argv = ("docker", "logs", *follow, job.container)
    if not job.container:
        argv = ("cat", "--", kept[job.id])
    return passed_on(options, options.follow and bool(job.container), *argv)


def job_shell(options: Named, host: Host) -> int:
    """A shell inside a job's container, as the job itself, while it runs."""
    job = listing.one(listing.running(_found(options, host)), (), options.subject)
    if options.json or not sys.stdin.isatty():
        raise Refused(
            "a shell needs a terminal, and this is none", "sudo backend job logs"
        )
    sentence = f"{who(host)} opened a shell inside job {job.id}"
    _event(host, options, "job shell", job, sentence)
    become(options, "docker", "exec", "-it", job.container, *command.SHELL)


class End(Asked):
    """Several at once; `yes` is the answer that somebody gave beforehand."""

    subjects: Sequence[str] = ()
    yes: bool = False


def kill(options: End, host: Host) -> int:
    """Jobs have ended at once, and failed. The job-runner reports that to the controller."""
    return _end(options, host, "job kill", "ends as failed", "is killed")


def rerun(options: End, host: Host) -> int:
    """Jobs have ended at once, and begin anew: the controller hears of no failure."""
    return _end(options, host, "job rerun", "begins anew", "is run again")


def _end(options: End, host: Host, what: str, fate: str, done: str) -> int:
    here = _found(options, host)
    ended = [Job(each, listing.ENDED, "") for each, _ in listing.kept_logs(host)]
    those = (listing.running(here), [*here, *ended])
    jobs = {j.id: j for j in (listing.one(*those, w) for w in options.subjects)}
    _agree(list(jobs.values()), what, fate, options.yes)
    for job in jobs.values():
        # First, as this may be killed.
        _event(host, options, what, job, f"job {job.id} {done}, by {who(host)}")
        if what == "job rerun":
            rerunning.rerun(host, job)
        else:
            host.run("docker", "kill", job.container)
    return told(options, {"subjects": list(jobs)}, [f"{job} {done}" for job in jobs])


def _found(options: Asked, host: HostReader) -> list[Job]:
    return listing.listed(host, of_host_itself(options, host).backend)


def _event(host: Host, asked: Asked, what: str, job: Job, sentence: str) -> None:
    more = {"workspace": job.workspace, "action": job.action}
    event(host, str(asked.checkout), what, sentence, subject=job.id, **more)


def _agree(jobs: Sequence[Job], what: str, fate: str, yes: bool) -> None:
    """Somebody agrees that jobs lose what they have done so far, or Refused is raised."""
    if yes:
        return
    names = ", ".join(job.id for job in jobs)
    agreed(
        f"{names} would lose what was done so far, and nobody is here to confirm that",
        [f"{job}. It loses what it has done so far, and {fate}." for job in jobs],
        f"Type yes to {what.partition(' ')[2]}: ",
        "the answer was not yes; nothing was ended",
    )
