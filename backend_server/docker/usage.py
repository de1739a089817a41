"""What fills the disks: file systems, and what lies on them."""

from __future__ import annotations

from typing import Any, Iterator, Mapping, NamedTuple

from backend_server.checkout.service import AIRLOCKS
from backend_server.host import HostReader
from backend_server.host.looking import Space
from backend_server.storage.component import HIGH_TREE, MEDIUM_TREE
from backend_server.text.errors import CommandFailed


WARN, FULL = 80, 90  # percent in use
_MORE = ("/", "/var", "/var/log", "/boot")  # told where they are apart
_BARE = ("/run", "/boot")  # of which `host disk` says nothing
_TREES = (
    *(f"{HIGH_TREE}/{name}" for name in ("workspaces", "volumes", "logs", "archives")),
    *(f"{MEDIUM_TREE}/{name}" for name in ("workspaces", "review", "requests")),
    AIRLOCKS,
    "/var/log",
    "/var/cache/apt/archives",
)


class FileSystem(NamedTuple):
    """One that something of ours is on, with all the places that are on it."""

    places: tuple[str, ...]
    percent: int
    used: int
    free: int

    def __str__(self) -> str:
        where = ", ".join(self.places)
        return f"{where}: {self.percent} % in use, {size(self.free)} free"


class Usage(NamedTuple):
    path: str
    bytes: int


def file_systems(host: HostReader, *first: str) -> list[FileSystem]:
    """Those that we and the services write to, each once, fullest first."""
    docker = (host.docker_says("/info") or {}).get("DockerRootDir", "/var/lib/docker")
    found: dict[int, tuple[Space, list[str]]] = {}
    for path in (*first, HIGH_TREE, MEDIUM_TREE, docker, *_MORE):
        space = host.space(path)
        if space and (path not in _MORE or space.device not in found):
            found.setdefault(space.device, (space, []))[1].append(path)
    here = [
        FileSystem(tuple(there), space.percent, space.used, space.free)
        for space, there in found.values()
    ]
    return sorted(here, key=lambda each: -each.percent)


def too_full(host: HostReader) -> Iterator[str]:
    """A sentence for each file system that may soon stop jobs, or with /run everything."""
    for each in file_systems(host, "/run"):
        if each.percent >= FULL:
            place, how = each.places[0], "sudo backend host disk"
            if place in _BARE:
                how = f"du --all --one-file-system {place}"
            yield f"the disk of {each}; `{how}` says what fills it"


def usage(host: HostReader) -> tuple[list[Usage], list[Usage], list[str]]:
    """What lies where, the biggest workspaces, and what could not be found out."""
    here = [path for path in _TREES if host.stat(path)]
    sizes: dict[str, int] = {}
    unknown = []
    for path in here:
        try:
            sizes.update(parse_du(host.disk_usage([path])))
        except CommandFailed as error:
            unknown.append(f"{path}: {error}")
    whole = [Usage(path, sizes[path]) for path in here if path in sizes]
    answer = host.docker_says("/system/df")
    if answer is None:
        unknown.append("docker does not answer: systemctl status docker")
    whole += of_docker(answer or {})
    inside = (Usage(p, n) for p, n in sizes.items() if "/workspaces/" in p)
    biggest = sorted(inside, key=lambda each: -each.bytes)[:5]
    return sorted(whole, key=lambda each: -each.bytes), biggest, unknown


def parse_du(text: str) -> dict[str, int]:
    """Bytes by path, of du(1) with NUL at the end of each line."""
    pairs = (line.partition("\t")[::2] for line in text.split("\0") if line)
    return {path: int(number) for number, path in pairs}


def of_docker(found: Mapping[str, Any]) -> list[Usage]:
    """Of the API's /system/df."""

    def total(key: str, what: str) -> int:
        return sum(each.get(what) or 0 for each in found.get(key) or ())

    return [
        Usage("docker's images", found.get("LayersSize") or 0),
        Usage("docker's containers", total("Containers", "SizeRw")),
        Usage("docker's build cache", total("BuildCache", "Size")),
    ]


def size(number: float) -> str:
    """Bytes as people say them."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
