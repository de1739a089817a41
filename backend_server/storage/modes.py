"""Giving the data trees' files the access back that they should have."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import Container, Dict, Iterator, Mapping, TypeVar

from backend_server.engine.lock import only_run
from backend_server.host import Host
from backend_server.host.folder import descriptor
from backend_server.storage import component
from backend_server.storage.tree import Counts, Rule, Rules, Walk
from backend_server.text import acl
from backend_server.text.errors import UserError
from backend_server.text.roles import HIGH, MEDIUM, METADATA, OPENSAFELY


STATE = "/var/lib/opensafely/modes.json"
LOCK = "/run/opensafely/modes.lock"

# What a workspace has when a job has ended with its outputs in place.
_METADATA, _MANIFEST = "metadata", "manifest.json"
_SIGNS = ("", _METADATA, f"{_METADATA}/{_MANIFEST}", _MANIFEST)

# A clock that ticks some hundred times a second gives two changes the same time.
_TOO_RECENT_NS = 2 * 10**9

_LIST = os.O_RDONLY | os.O_DIRECTORY

T = TypeVar("T")
Seen = Dict[str, str]


def repair(
    host: Host, *, recent: bool, archives: str = component.HIGH_FOLDERS[0]
) -> Counts:
    """Both trees' files have at least the access that is declared for them.

    Metadata in medium privacy has exactly that. `recent` leaves out the workspaces that look
    as they did at the last pass, and all that is in no workspace. Of two at once the second
    waits, or each would take the other's unfinished state for a left-over.
    """
    with only_run("host repair", str(host.root) + LOCK, wait=True):
        rules = {area: _rule(host, area) for area in (HIGH, MEDIUM, METADATA)}
        made_by = repr(sorted((area, _digest(rule)) for area, rule in rules.items()))
        made_by += ", sticky"  # which those that an older one has seen are not
        before = _read_state(host, made_by)
        counts = Counts()
        after: Seen = {}
        for area in (HIGH, MEDIUM):
            for fd in _opened(host, component.WORKSPACES[area]):
                known = before if recent else {}
                after.update(_workspaces(fd, area, rules, known, counts))
        if not recent:
            _besides_workspaces(host, rules[HIGH], counts, archives)
        if after != before:
            state = {"format": 1, "rules": made_by, "seen": after}
            host.write(STATE, json.dumps(state, indent=1) + "\n", 0o600)
        return counts


def _workspaces(fd: int, area: str, rules: Rules, known: Seen, counts: Counts) -> Seen:
    """Those that need no second look, as they were before they were walked."""
    exact = dict.fromkeys((_METADATA, _MANIFEST), rules[METADATA])
    inside = exact if area == MEDIUM else {}
    walk = Walk(os.fstat(fd).st_dev, counts)
    done: Seen = {}
    for name in os.listdir(fd):
        found = _signs(fd, area, name)
        if found is None:
            continue
        key, state, newest_ns = found
        if known.get(key) != state:
            failed = counts.failed
            walk.settle(fd, name, rules[area], inside)
            recent = newest_ns > time.time_ns() - _TOO_RECENT_NS
            if counts.failed > failed or recent:
                continue
        done[key] = state
    return done


def _besides_workspaces(host: Host, rule: Rule, counts: Counts, archives: str) -> None:
    """What else is in high privacy: logs, archives, what jobs work on, and other finds.

    The folders that are declared have their own access; what is in them is walked.
    """
    folders = {*component.HIGH_FOLDERS, archives}
    declared = {path[len(component.HIGH_TREE) :].split("/")[1] for path in folders}
    for fd in _opened(host, component.HIGH_TREE):
        _all_in(fd, rule, counts, leave_out=declared)
    for path in sorted(folders):
        if path != component.WORKSPACES[HIGH]:
            for fd in _opened(host, path):
                _all_in(fd, rule, counts)


def _all_in(
    fd: int, rule: Rule, counts: Counts, leave_out: Container[str] = ()
) -> None:
    walk = Walk(os.fstat(fd).st_dev, counts)
    for name in os.listdir(fd):
        if name not in leave_out:
            walk.settle(fd, name, rule)


def _signs(fd: int, area: str, name: str) -> tuple[str, str, int] | None:
    """By its inode, as names may tell too much, how a workspace looks, and its newest time.

    By these it is found unchanged at the next pass. None where nothing is any more.
    """
    looks = [_look(fd, os.path.join(name, sign)) for sign in _SIGNS]
    if looks[0] is None:
        return None
    state = " ".join(
        f"{found.st_ino}:{found.st_mtime_ns}:{found.st_size}" if found else "-"
        for found in looks
    )
    newest = max(found.st_mtime_ns for found in looks if found)
    return f"{area} {looks[0].st_ino}", state, newest


def _look(fd: int, name: str) -> os.stat_result | None:
    with contextlib.suppress(OSError):
        return os.stat(name.rstrip("/"), dir_fd=fd, follow_symlinks=False)
    return None


def _opened(host: Host, path: str) -> Iterator[int]:
    """A descriptor of the directory at PATH; none where there is no such directory."""
    missing = contextlib.suppress(FileNotFoundError, NotADirectoryError)
    with missing, host.parent(path) as (at, name), descriptor(name, _LIST, at) as fd:
        yield fd


# ---- who gets what, in the host's numbers


def _rule(host: Host, area: str) -> Rule:
    def uid(name: str) -> int:
        return _known("account", name, host.users()).uid

    def gid(name: str) -> int:
        return _known("group", name, host.groups()).gid

    entries = frozenset(acl.parse(text, uid, gid) for text in component.access_to(area))
    exact = area == METADATA
    return Rule(uid(OPENSAFELY), gid(component.people_of(area).group), entries, exact)


def _known(what: str, name: str, all_of_them: Mapping[str, T]) -> T:
    if name not in all_of_them:
        raise UserError(f"there is no {what} {name} on this host", hint="sudo backend")
    return all_of_them[name]


def _digest(rule: Rule) -> str:
    return f"{rule.owner} {rule.group} {acl.encode(rule.acl).hex()} {rule.exact}"


def _read_state(host: Host, made_by: str) -> Seen:
    """What the last pass saw; nothing where it went by other rules, or left no sense."""
    try:
        state = json.loads(host.read(STATE) or "{}")
        seen = state["seen"] if state.get("rules") == made_by else {}
        return {str(key): str(value) for key, value in seen.items()}
    except (ValueError, AttributeError, KeyError, TypeError):
        return {}
