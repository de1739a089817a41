"""What a backend is for is tried: services, the network that jobs are on, and a job."""

from __future__ import annotations

import contextlib
import json
import socket
from typing import Callable, Iterator, NamedTuple

from backend_server.checkout import Service, Site
from backend_server.docker.containers import CANARY_LABEL
from backend_server.docker.network import unforwarded
from backend_server.host import Host
from backend_server.jobs import database
from backend_server.jobs.listing import VOLUMES, containers
from backend_server.services import choices, states
from backend_server.text.errors import UserError
from backend_server.text.networks import DATABASE_NETWORK, NO_DNS
from backend_server.text.roles import OPENSAFELY, OPENSAFELY_ID


OK, FAILED, DEGRADED = "ok", "failed", "degraded"
_FOLDER = f"{VOLUMES}/{CANARY_LABEL}"
_OWN_ID = f"{OPENSAFELY_ID}:{OPENSAFELY_ID}"
# As the job-runner starts jobs, but for the limits, which this hardly needs.
_AS_A_JOB = (
    *("docker", "run", "--rm", "--init", "--pull=never", f"--label={CANARY_LABEL}"),
    *(f"--user={_OWN_ID}", "--cap-drop=ALL", "--security-opt=no-new-privileges"),
    *("--env=HOME=/tmp", "--log-driver=local", "--cpus=1", "--memory=256m"),
)
# Nobody's: RFC 5737 and RFC 3849 keep these for documents.
_STRANGERS = (
    f"udp,{NO_DNS},53",
    "tcp,198.51.100.10,443",
    "tcp,203.0.113.10,1433",
    "tcp,2001:db8::1,443",
)
_SHUT = ("ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EACCES", "EADDRNOTAVAIL")


class Result(NamedTuple):
    """What came of one thing, and the sentence for it."""

    what: str
    outcome: str
    says: str

    def __str__(self) -> str:
        return f"{self.outcome:<9} {self.what:<10} {self.says}"


def proofs(host: Host, site: Site) -> Iterator[Result]:
    """Each thing is tried by its effect, whatever came of the ones before."""
    for service in site.services:
        yield tried(f"service {service.name}", _service, host, service)
    image = job_image(host, site)
    if not image:
        why = "not tried: there is no image of the job-runner on this host yet"
        yield Result("network", DEGRADED, why)
        yield Result("job", DEGRADED, why)
        return
    yield from _network(host, site, image)
    yield tried("job", _job, host, image)


def job_image(host: Host, site: Site) -> str:
    """The image that the job-runner runs at: the one that is sure to be here."""
    names = (service.name for service in site.services if service.docker)
    return next((choices.settings(host, name).image for name in names), "")


def _service(host: Host, service: Service) -> str:
    states.prove(host, service)
    return "is up and stays up"


def tried(what: str, step: Callable[..., str], *of: object) -> Result:
    """What a step says that it came to, or why it failed."""
    try:
        return Result(what, OK, step(*of))
    except UserError as error:
        return Result(what, FAILED, ": ".join(filter(None, (str(error), error.hint))))
    except OSError as error:
        return Result(what, FAILED, f"{error.strerror} ({error.filename})")


def _network(host: Host, site: Site, image: str) -> Iterator[Result]:
    try:
        for why in unforwarded(host):  # then silence would prove nothing
            raise UserError(why)
        with _canary(host, image) as (pid, gateway), _listener(gateway) as port:
            places = (f"tcp,{gateway},{port}", f"tcp,{gateway},22", *_STRANGERS)
            databases = [f"tcp,{at},{to}" for at, to in database.to_try(site, host)]
            found = _probe(host, site, pid, (*places, *databases))
    except (UserError, OSError) as error:
        yield Result("network", FAILED, f"could not be tried: {error}")
        return
    reached = [place for place in places if found[place] not in _SHUT]
    if reached:
        listed = "; ".join(f"{place} {found[place]}" for place in reached)
        yield Result("network", FAILED, f"{DATABASE_NETWORK} is not shut: {listed}")
    else:
        says = f"{DATABASE_NETWORK} refuses all but what it should"
        yield Result("network", OK, says)
    for place in databases:
        outcome = OK if found[place] == "open" else DEGRADED
        address = place[len("tcp,") :].replace(",", ":")
        says = "answers" if outcome == OK else f"does not answer: {found[place]}"
        yield Result("database", outcome, f"{address} {says}")


@contextlib.contextmanager
def _canary(host: Host, image: str) -> Iterator[tuple[str, str]]:
    """A container on the database network that does nothing: its pid, and its gateway."""
    _clear(host)
    network = (f"--network={DATABASE_NETWORK}", f"--dns={NO_DNS}", "--detach")
    argv = (*_AS_A_JOB, f"--name={CANARY_LABEL}", *network, "--entrypoint=sleep")
    host.run(*argv, image, "120")
    try:
        found = next(c for c in containers(host) if c.name == CANARY_LABEL).facts
        network_of = found["NetworkSettings"]["Networks"][DATABASE_NETWORK]
        yield str(found["State"]["Pid"]), network_of["Gateway"]
    finally:
        _clear(host)


def _clear(host: Host) -> None:
    """Nothing is left of this proof, nor of one that was killed."""
    left = [c.name for c in containers(host) if CANARY_LABEL in c.labels]
    if left:
        host.run("docker", "rm", "--force", *left)


@contextlib.contextmanager
def _listener(address: str) -> Iterator[int]:
    """A port of this host's own, which the host itself can reach: only rules keep others out."""
    with socket.create_server((address, 0)) as server:
        port = server.getsockname()[1]
        socket.create_connection((address, port), 3).close()
        yield port


def _probe(host: Host, site: Site, pid: str, places: tuple[str, ...]) -> dict[str, str]:
    python = ("/usr/bin/python3", "-I", "-S", "-B")
    script = f"{site.checkout}/backend_server/jobs/probe.py"
    net = ("nsenter", f"--target={pid}", "--net", "--")
    found: dict[str, str] = json.loads(host.run(*net, *python, script, *places))
    return found


def _job(host: Host, image: str) -> str:
    """A container like a job's has written a file to its folder, which is gone again."""
    _clear(host)
    host.run("rm", "-rf", "--one-file-system", _FOLDER)
    host.make_directory(_FOLDER, 0o700, OPENSAFELY, OPENSAFELY)
    try:
        argv = (*_AS_A_JOB, f"--name={CANARY_LABEL}-job", "--network=none")
        volume = f"--volume={_FOLDER}:/workspace"
        copy = ("--entrypoint=cp", image, "/etc/hostname", "/workspace/canary")
        host.run(*argv, volume, *copy)
        written = host.stat(f"{_FOLDER}/canary")
        if written is None or written.st_uid != OPENSAFELY_ID:
            raise UserError(f"it ended well, and {_FOLDER} has no file of its own")
    finally:
        host.run("rm", "-rf", "--one-file-system", _FOLDER)
    return "one ran without a network, and wrote its output"
