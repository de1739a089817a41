"""How many files an account has, and where."""

from __future__ import annotations

from collections import Counter
from typing import Iterator

from backend_server.host.reader import HostReader


# Where people's files are, should these be file systems of their own.
_PLACES = (
    *("/home", "/srv", "/srv/high_privacy", "/srv/medium_privacy"),
    *("/tmp", "/var", "/var/tmp", "/var/spool"),
)


def files_owned(host: HostReader, name: str) -> dict[str, int]:
    """How many files an account has where, by the first two names of their path."""
    user = host.users().get(name)
    if user is None:
        return {}
    folders = host.folders_with_files_of(user.uid, ("/", *_mounts(host)))
    return dict(Counter(map(_top, folders)))


def _mounts(host: HostReader) -> Iterator[str]:
    for place in _PLACES:
        found, above = host.stat(place), host.stat(place.rpartition("/")[0] or "/")
        if found and above and found.st_dev != above.st_dev:
            yield place


def _top(folder: str) -> str:
    names = folder.split("/")[1:3]
    return "/tmp" if names[:1] == ["tmp"] else "/" + "/".join(names)
