"""Which files an account has, how many of them where, and which make others somebody else."""

from __future__ import annotations

from collections import Counter
from typing import Iterator, List, Tuple

from backend_server.host import HostReader
from backend_server.storage.component import PLACES


# Where people's files are, should these be file systems of their own.
_PLACES = (
    *("/home", "/srv", "/srv/high_privacy", "/srv/medium_privacy"),
    *("/tmp", "/var", "/var/tmp", "/var/spool", "/dev/shm"),
)

# For a person, whatever the files are called. Of root's rights it has but the one to look, so
# that what is swapped meanwhile is theirs too.
CLEARING = (
    "setpriv --reuid={0} --regid=nogroup --clear-groups --inh-caps=+dac_read_search "
    f"--ambient-caps=+dac_read_search find {' '.join(PLACES)} -user {{0}} ! -type d "
    "-perm /6000 -exec chmod ug-s {{}} +"
)

Files = List[Tuple[int, str]]


def files(host: HostReader, name: str) -> Files:
    """Mode and path of each."""
    return host.files_of(host.users()[name].uid, ("/", *_mounts(host)))


def told(found: Files) -> str:
    """How many where, by the first two names of their path."""
    number = Counter(_top(path.rpartition("/")[0]) for _, path in found)
    places = ", ".join(f"{number[top]} in {top}" for top in sorted(number))
    return f"{len(found)} files" + f": {places}" * bool(places)


def set_id(found: Files) -> list[str]:
    """Where people write; elsewhere, as in an image of docker's, a number may be a stranger's."""
    tops = tuple(f"{place}/" for place in PLACES)
    return [path for mode, path in found if mode & 0o6000 and path.startswith(tops)]


def _mounts(host: HostReader) -> Iterator[str]:
    for place in _PLACES:
        found, above = host.stat(place), host.stat(place.rpartition("/")[0] or "/")
        if found and above and found.st_dev != above.st_dev:
            yield place


def _top(folder: str) -> str:
    names = folder.split("/")[1:3]
    return "/tmp" if names[:1] == ["tmp"] else "/" + "/".join(names)
