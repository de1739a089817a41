"""What docker says of containers and images, as frozen values, and whether a job is confined."""

from __future__ import annotations

from typing import AbstractSet, Any, Iterable, Iterator, Mapping, NamedTuple


JOB_LABEL = "job-runner"
JOB_NAME = "os-job-"  # and its id: what the agent calls a job's container
CANARY_LABEL = "opensafely-canary"  # what we start ourselves, to try a network by

_NEVER = "0001-01-01T00:00:00Z"
_ENDED = ("exited", "dead", "removing")


class Container(NamedTuple):
    """A container, whether or not it runs."""

    name: str
    image: str  # as it was asked for
    image_id: str
    labels: Mapping[str, str]
    status: str
    since: str  # it started, ended or was made, whichever came last
    networks: frozenset[str]
    cpus: float  # 0: as many as there are
    memory: int  # bytes; 0: as much as there is
    facts: Mapping[str, Any]  # all that docker says

    @property
    def ended(self) -> bool:
        return self.status in _ENDED

    @property
    def alive(self) -> bool:
        """Whether a restart of docker would touch it: not before its start, nor after its end."""
        return not self.ended and self.status != "created"


class Image(NamedTuple):
    """An image that is on this host."""

    id: str
    names: tuple[str, ...]  # NAME@DIGEST and NAME:TAG, all that it goes by
    size: int


def parse_containers(found: Iterable[Mapping[str, Any]]) -> tuple[Container, ...]:
    """Of what docker-inspect(1) says, sorted by name."""
    return tuple(sorted(map(_container, found), key=lambda each: each.name))


def _container(found: Mapping[str, Any]) -> Container:
    config, host, state = found["Config"], found["HostConfig"], found["State"]
    networks = (found.get("NetworkSettings") or {}).get("Networks") or {}
    running = state["FinishedAt"] if state["Status"] in _ENDED else state["StartedAt"]
    since = running if running != _NEVER else found["Created"]
    return Container(
        name=found["Name"].lstrip("/"),
        image=config["Image"],
        image_id=found["Image"],
        labels=config.get("Labels") or {},
        status=state["Status"],
        since=since.partition(".")[0].rstrip("Z") + "Z",
        networks=frozenset({host["NetworkMode"], *networks}),
        cpus=host.get("NanoCpus", 0) / 1e9,
        memory=host.get("Memory", 0),
        facts=found,
    )


def parse_images(found: Iterable[Mapping[str, Any]]) -> tuple[Image, ...]:
    """Of the API's list, sorted by id."""
    return tuple(sorted(map(_image, found)))


def _image(found: Mapping[str, Any]) -> Image:
    names = (*(found.get("RepoTags") or ()), *(found.get("RepoDigests") or ()))
    known = tuple(name for name in names if "<none>" not in name)
    return Image(found["Id"], known, found.get("Size", 0))


def unconfined(
    container: Container, volume: str, networks: AbstractSet[str]
) -> Iterator[str]:
    """Why a job could do more than it should, a few words each.

    It may be on one of these networks, and see one folder of the host, its own.
    """
    host = container.facts["HostConfig"]
    for network in sorted(container.networks - networks):
        yield f"is on network {network}"
    if host.get("Privileged"):
        yield "is privileged"
    if "ALL" not in _upper(host.get("CapDrop")):
        yield "keeps capabilities"
    for capability in sorted(_upper(host.get("CapAdd"))):
        yield f"has capability {capability}"
    options = [option.replace("=", ":") for option in host.get("SecurityOpt") or ()]
    if not {"no-new-privileges", "no-new-privileges:true"}.intersection(options):
        yield "may gain privileges"
    yield from (f"runs with {opt}" for opt in options if opt.endswith(":unconfined"))
    user = container.facts["Config"].get("User", "").partition(":")[0]
    if user in ("", "0", "root"):
        yield "runs as root"
    # Not Cgroupns, where the host's is docker's own choice with the older cgroups.
    for kind in ("Pid", "Ipc", "UTS", "Userns"):
        if host.get(f"{kind}Mode") == "host":
            yield f"shares the host's {kind.lower()} namespace"
    if host.get("Devices"):
        yield "has devices of the host"
    for mount in container.facts.get("Mounts") or ():
        if mount.get("Type") == "bind" and mount["Source"] != volume:
            yield f"sees {mount['Source']}"


def _upper(names: Iterable[str] | None) -> set[str]:
    return {name.upper() for name in names or ()}
