"""The data trees: what the jobs put out, and who may read and write it."""

from __future__ import annotations

from typing import Iterator

from backend_server.base.verbatim import by_timer, verbatim
from backend_server.checkout.gather import Site
from backend_server.resources import UNITS, Acl, Directory, Resource
from backend_server.storage.nosuid import NoSuid
from backend_server.text import acl
from backend_server.text.roles import HIGH, MEDIUM, OPENSAFELY, ROLES, Role


HIGH_TREE = "/srv/high_privacy"
MEDIUM_TREE = "/srv/medium_privacy"
REQUESTS_TREE = f"{MEDIUM_TREE}/requests"
REVIEW_TREE = f"{MEDIUM_TREE}/review"  # what Airlock shows, kept by review/
REVIEW_STATE = "/var/lib/opensafely/review"
WORKSPACES = {HIGH: f"{HIGH_TREE}/workspaces", MEDIUM: f"{MEDIUM_TREE}/workspaces"}

# Where the agent puts things, by the names it gives them.
HIGH_FOLDERS = tuple(
    f"{HIGH_TREE}/{name}" for name in ("archives", "logs", "volumes", "workspaces")
)

# Where people write: there no program is somebody else's, and no device is one.
PLACES = ("/home", "/tmp", "/var/tmp", "/dev/shm", HIGH_TREE, MEDIUM_TREE)

_CLOSED = 0o2750  # from below for all but the service; setgid hands the group down
_SHARED = 0o3770  # sticky: who writes here moves nothing that is another's

_NOSUID = "opensafely-nosuid.service"


def storage(site: Site) -> Iterator[Resource]:
    """Two trees, each with a group that reads it; files are born with the right access.

    Lists come after all directories, so that none is handed down while these are made.
    """
    high, medium = people_of(HIGH).group, people_of(MEDIUM).group
    folders = (HIGH_TREE, *high_folders(site.backend.archives))
    shared = _SHARED if MEDIUM in people_of(MEDIUM).writes else _CLOSED
    for path in folders:
        yield Directory(path, mode=_CLOSED, owner=OPENSAFELY, group=high)
    # Whoever cannot write here cannot move what stands here out of the way.
    yield Directory(MEDIUM_TREE, mode=_CLOSED, owner=OPENSAFELY, group=medium)
    work = WORKSPACES[MEDIUM]
    yield Directory(work, mode=shared, owner=OPENSAFELY, group=medium)
    # Reviewers see what Airlock has for them, beside the workspaces that they edit.
    yield Directory(REVIEW_TREE, mode=_CLOSED, owner=OPENSAFELY, group=medium)
    yield Directory(REQUESTS_TREE, mode=0o700, owner=OPENSAFELY, group=OPENSAFELY)
    for path in folders:
        yield Acl(path, default=access_to(HIGH))
    yield Acl(MEDIUM_TREE)
    yield Acl(work, default=access_to(MEDIUM))
    yield Acl(REVIEW_TREE)
    yield Acl(REQUESTS_TREE)
    yield verbatim(site, f"{UNITS}/{_NOSUID}", notify=_NOSUID)
    yield NoSuid(_NOSUID, places=PLACES, inert=(MEDIUM_TREE,))
    # It has no RestrictSUIDSGID: directories are given their setgid back.
    yield from by_timer(site, "opensafely-modes")


def high_folders(archives: str) -> tuple[str, ...]:
    """Where the agent puts things, and what leads to where the archives are."""
    parts = archives[len(HIGH_TREE) + 1 :].split("/")
    above = ("/".join((HIGH_TREE, *parts[: n + 1])) for n in range(len(parts)))
    return tuple(dict.fromkeys((*HIGH_FOLDERS, *above)))


def people_of(area: str) -> Role:
    """The one role of people that reads an area: its group has the tree."""
    (role,) = (r for r in ROLES if area in r.reads and r.group != OPENSAFELY)
    return role


def access_to(area: str) -> frozenset[str]:
    """What a directory in an area lets whom do, as its default list.

    The mask lets everything through: a narrower one could never be widened by a file's mode.
    """
    named = {_entry(role, area) for role in ROLES if area in role.reads}
    group = f"group::{_permissions(people_of(area), area)}"
    return frozenset({"user::rwx", group, *named, "mask::rwx", "other::---"})


def _entry(role: Role, area: str) -> str:
    kind = "user" if role.group == OPENSAFELY else "group"
    return f"{kind}:{role.group}:{_permissions(role, area)}"


def _permissions(role: Role, area: str) -> str:
    write = acl.WRITE if area in role.writes else 0
    return acl.letters(acl.READ | acl.EXECUTE | write)
