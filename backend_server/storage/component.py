"""The data trees: what the jobs put out, and who may read and write it."""

from __future__ import annotations

from string import Template
from typing import Iterator

from backend_server.checkout.gather import Site
from backend_server.engine.resource import Resource
from backend_server.resources import UNITS, Acl, Directory, NoSuid, UnitFile, timed
from backend_server.text import acl
from backend_server.text.roles import HIGH, MEDIUM, OPENSAFELY, ROLES, Role


HIGH_TREE = "/srv/high_privacy"
MEDIUM_TREE = "/srv/medium_privacy"
REQUESTS_TREE = f"{MEDIUM_TREE}/requests"
WORKSPACES = {HIGH: f"{HIGH_TREE}/workspaces", MEDIUM: f"{MEDIUM_TREE}/workspaces"}

# Where the agent puts things, by the names it gives them.
HIGH_FOLDERS = tuple(
    f"{HIGH_TREE}/{name}" for name in ("archives", "logs", "volumes", "workspaces")
)

# Where people write: there no program is somebody else's, and no device is one.
PLACES = ("/home", "/tmp", "/var/tmp", "/dev/shm", HIGH_TREE, MEDIUM_TREE)

_CLOSED = 0o2750  # from below for all but the service; setgid hands the group down
_SHARED = 0o2770

_NOSUID = "opensafely-nosuid.service"
_SERVICE = "opensafely-modes.service"
_TIMER = "opensafely-modes.timer"


def storage(site: Site) -> Iterator[Resource]:
    """Two trees, each with a group that reads it; files are born with the right access.

    Lists come after all directories, so that none is handed down while these are made.
    """
    high, medium = people_of(HIGH).group, people_of(MEDIUM).group
    shared = _SHARED if MEDIUM in people_of(MEDIUM).writes else _CLOSED
    for path in (HIGH_TREE, *HIGH_FOLDERS):
        yield Directory(path, mode=_CLOSED, owner=OPENSAFELY, group=high)
    # Whoever cannot write here cannot move what stands here out of the way.
    yield Directory(MEDIUM_TREE, mode=_CLOSED, owner=OPENSAFELY, group=medium)
    work = WORKSPACES[MEDIUM]
    yield Directory(work, mode=shared, owner=OPENSAFELY, group=medium)
    yield Directory(REQUESTS_TREE, mode=0o700, owner=OPENSAFELY, group=OPENSAFELY)
    for path in (HIGH_TREE, *HIGH_FOLDERS):
        yield Acl(path, default=access_to(HIGH))
    yield Acl(MEDIUM_TREE)
    yield Acl(work, default=access_to(MEDIUM))
    yield Acl(REQUESTS_TREE)
    path = f"{UNITS}/{_NOSUID}"
    yield UnitFile(path, site.etc[path], notify=(_NOSUID,))
    yield NoSuid(_NOSUID, places=PLACES)
    yield from _modes(site)


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


# ---- what the agent makes narrower is widened again

# RestrictSUIDSGID is not here: directories are given their setgid back.
_SERVICE_TEXT = Template("""\
[Unit]
Description=Give back the access that files in the data trees should have
RequiresMountsFor=$high $medium

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/backend host repair --recent
# One line a minute that nothing was to be done would drown the others.
SyslogLevel=notice
LogLevelMax=notice
Nice=10
IOSchedulingClass=idle
UMask=0077
CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_CHOWN CAP_FOWNER CAP_FSETID
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=$high $medium /var/lib/opensafely
RuntimeDirectory=opensafely
RuntimeDirectoryPreserve=yes
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
PrivateNetwork=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictAddressFamilies=AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
""")


def _modes(site: Site) -> Iterator[Resource]:
    service = _SERVICE_TEXT.substitute(high=HIGH_TREE, medium=MEDIUM_TREE)
    yield from timed("opensafely-modes", service, site.etc[f"{UNITS}/{_TIMER}"])
