"""The jobs on this host: those that run, wait to, have ended, or were left lying."""

from __future__ import annotations

import contextlib
import json
import stat
import time
from typing import Any, Iterable, Iterator, NamedTuple

from backend_server.checkout.backend import Backend
from backend_server.docker import containers as docker
from backend_server.docker.containers import JOB_LABEL, JOB_NAME, Container
from backend_server.engine.history import at
from backend_server.host import HostReader
from backend_server.services.agent import Erring
from backend_server.storage.component import HIGH_TREE
from backend_server.text.change import counted
from backend_server.text.errors import CommandFailed, Refused
from backend_server.text.networks import DATABASE_NETWORK


VOLUMES = f"{HIGH_TREE}/volumes"
LOGS = f"{HIGH_TREE}/logs"
MARK = ".opensafely-timestamp"
_LONGEST_S = 31 * 24 * 3600  # a job takes no longer
_MOST_BYTES = 4 << 20
# A job whose files are ready starts within minutes: what waits longer is left over.
_PREPARED_S = 24 * 3600
DOCKER = "docker.service"

RUNNING, ERRING, PREPARED = "running", "erring", "prepared"
FINISHED, LEFT = "finished", "left over"
ENDED = "ended"  # nothing of it is left but what the job-runner kept
STATES = (RUNNING, ERRING, PREPARED, FINISHED, LEFT)


class Job(NamedTuple):
    """A job, or a question to the database, which has a container but no name of its own."""

    id: str
    state: str
    since: str
    workspace: str = ""
    action: str = ""
    image: str = ""
    network: str = ""
    cpus: float = 0
    memory: int = 0
    unconfined: tuple[str, ...] = ()
    container: str = ""
    error: str = ""

    def __str__(self) -> str:
        words = [f"{self.state:<9} {self.id}  since {self.since}"]
        words += filter(None, (self.workspace, self.action))
        if self.container:
            cpus = f"{self.cpus:g} CPU" if self.cpus else "any CPU"
            memory = f"{self.memory / 2**30:.1f} GB" if self.memory else "any memory"
            words += [f"{cpus}, {memory}", f"network {self.network}"]
        return "  ".join(words)


class NoDocker(CommandFailed):
    """Which jobs run cannot be told. With live-restore they go on without dockerd."""


def listed(
    host: HostReader, backend: Backend, erring: Iterable[Erring] = ()
) -> list[Job]:
    """Every job, by state and then by id. Raises NoDocker where docker does not answer.

    One of those ERRING may have neither container nor folder.
    """
    here = [c for c in containers(host) if docker.CANARY_LABEL not in c.labels]
    jobs = [_of(c, backend) for c in here if JOB_LABEL in c.labels]
    asking = (c for c in here if JOB_LABEL not in c.labels)
    jobs += [_question(c) for c in asking if DATABASE_NETWORK in c.networks and c.alive]
    found = {job.id: job for job in (*on_disk(host), *jobs)}
    for each in erring:
        job = found.get(each.job) or Job(each.job, ERRING, each.since, each.workspace)
        state = RUNNING if job.state == RUNNING else ERRING
        found[job.id] = job._replace(state=state, error=each.error)
    return sorted(found.values(), key=lambda job: (STATES.index(job.state), job.id))


def containers(host: HostReader) -> tuple[Container, ...]:
    """All of them. Raises NoDocker where docker does not answer."""
    found = host.containers()
    if found is None:
        hint = f"systemctl status {DOCKER}; sudo backend"
        raise NoDocker("docker does not answer, so which jobs run cannot be told", hint)
    return docker.parse_containers(found)


def images_here(host: HostReader) -> tuple[docker.Image, ...]:
    """All of them. Raises NoDocker where docker does not answer."""
    found = host.docker_says("/images/json")
    if found is None:
        raise NoDocker("docker lists no images", hint=f"systemctl status {DOCKER}")
    return docker.parse_images(found)


def on_disk(host: HostReader) -> Iterator[Job]:
    """Jobs that have a folder for their files, as prepared as those without a container are."""
    for name in host.names(VOLUMES):
        found = host.stat(f"{VOLUMES}/{name}/{MARK}") or host.stat(f"{VOLUMES}/{name}")
        if found and name != docker.CANARY_LABEL:
            recent = time.time() - found.st_mtime < _PREPARED_S
            yield Job(name, PREPARED if recent else LEFT, at(found.st_mtime))


def kept(host: HostReader, since_s: float) -> Iterator[tuple[str, float, Any]]:
    """Id, end, and what the job-runner kept of it, of each job that ended since then.

    Below the month in which a job was made; a file that is being written is passed over.
    """
    first = at(since_s - _LONGEST_S)[: len("2027-01")]
    for month in (each for each in host.names(LOGS) if each >= first):
        for name in host.names(f"{LOGS}/{month}"):
            path = f"{LOGS}/{month}/{name}/metadata.json"
            file = host.stat(path)
            plain = file and stat.S_ISREG(file.st_mode) and file.st_size <= _MOST_BYTES
            if file and plain and file.st_mtime >= since_s:
                with contextlib.suppress(ValueError):
                    found = json.loads(host.read(path) or "{}")
                    yield name[len(JOB_NAME) :], file.st_mtime, found


def ended(host: HostReader, since_s: float) -> list[Job]:
    """Those that ended since then, and are here no more; the last to end comes last."""
    return [_ended(*e) for e in sorted(kept(host, since_s), key=lambda e: e[1])]


def _ended(job: str, end: float, facts: Any) -> Job:
    facts = facts if isinstance(facts, dict) else {}
    container = facts.get("container_metadata") or {}
    labels = container.get("Config", {}).get("Labels") or {}
    message = str(facts.get("status_message") or "").strip().partition("\n")[0]
    memory = "memory ran out; " if facts.get("oom_killed") else ""
    return Job(
        job,
        ENDED,
        at(end),
        labels.get("workspace", ""),
        labels.get("action", ""),
        error=f"{memory}exit {facts.get('exit_code')}, {message}",
    )


def kept_logs(host: HostReader) -> Iterator[tuple[str, str]]:
    """Id, and where its output is kept, of each job of this month and the last that has ended."""
    for month in sorted(host.names(LOGS))[-2:]:
        for name in host.names(f"{LOGS}/{month}"):
            if name.startswith(JOB_NAME):
                yield name[len(JOB_NAME) :], f"{LOGS}/{month}/{name}/logs.txt"


def running(jobs: list[Job]) -> list[Job]:
    return [job for job in jobs if job.state == RUNNING]


def one(jobs: list[Job], others: Iterable[Job], words: str) -> Job:
    """The job whose id has this in it. Raises Refused for none and for several, naming them.

    Where one of OTHERS is meant, it says how that is.
    """
    found = [job for job in jobs if words in job.id]
    found = [job for job in found if job.id == words] or found
    if len(found) == 1:
        return found[0]
    several = ", ".join(job.id for job in found)
    other = [f" that runs: {j.id} is {j.state}" for j in others if words in j.id]
    raise Refused(
        f"{counted(len(found), 'job')} with {words!a} in the id; wanted one"
        f"{'' if found else ''.join(other[:1])}",
        hint=f"choose from {several}" if found else "sudo backend job list --since 2d",
    )


def _of(container: Container, backend: Backend) -> Job:
    name = container.name
    job = name[len(JOB_NAME) :] if name.startswith(JOB_NAME) else name
    open_to = {"none", DATABASE_NETWORK}
    if backend.dummy_data:  # there is nothing to keep from the network
        open_to |= {"bridge", "default"}
    state = FINISHED if container.ended else RUNNING
    return Job(
        job,
        state if container.status != "created" else PREPARED,
        container.since,
        container.labels.get("workspace", ""),
        container.labels.get("action", ""),
        container.image,
        ", ".join(sorted(container.networks - {"default"})),
        container.cpus,
        container.memory,
        tuple(docker.unconfined(container, f"{VOLUMES}/{job}", open_to)),
        name,
    )


def _question(container: Container) -> Job:
    return Job(
        container.name,
        RUNNING,
        container.since,
        action="asks the database",
        image=container.image,
        network=DATABASE_NETWORK,
        cpus=container.cpus,
        memory=container.memory,
        container=container.name,
    )
