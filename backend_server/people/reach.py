"""Who can do what on this host, and why: as the kernel, sudo and the key files have it."""

from __future__ import annotations

import os
import re
import time
from datetime import date, timedelta
from typing import Any, Iterator, Mapping

from backend_server.access import second_factor
from backend_server.access.component.sudo import FIXED_COMMANDS
from backend_server.access.sudo_rights import rules
from backend_server.checkout.gather import Site, developers, everybody, last_days
from backend_server.checkout.keys import KEY_FOLDER, in_text
from backend_server.host import HostReader, revoked
from backend_server.host.sessions import sessions
from backend_server.people.keyring import held
from backend_server.people.offers import Held
from backend_server.storage import component
from backend_server.text import roles
from backend_server.text.change import counted
from backend_server.text.errors import Refused
from backend_server.text.parsers import FIRST_PERSON, PasswdEntry


_MODES = (("r", os.R_OK), ("w", os.W_OK), ("x", os.X_OK))
PATIENCE_DAYS = 14

TREES = (
    component.HIGH_TREE,
    component.WORKSPACES[roles.HIGH],
    component.MEDIUM_TREE,
    component.WORKSPACES[roles.MEDIUM],
    component.REQUESTS_TREE,
)


def listed(site: Site, host: HostReader) -> Iterator[dict[str, object]]:
    """Everybody on a roster here, in a role's group, or with an account that is or was ours."""
    names, record = set(everybody(site.people)), held(host)
    for group in (roles.MARKER, *(role.group for role in roles.ROLES)):
        names |= host.members(group)
    for name in sorted(names):
        number = len(fingerprints(host, name))
        yield {**_facts(site, host, name, record), "keys": number}


def who(site: Site, host: HostReader, name: str) -> dict[str, object]:
    """What one account can reach, each with its reason. Raises Refused for a name of nobody."""
    if name not in host.users() and not _rosters(site, name):
        hint = "sudo backend people list"
        raise Refused(f"{name} has no account here and is on no roster", hint)
    return {
        **_facts(site, host, name, held(host)),
        "sessions": [str(s) for s in sessions(host) if s.user == name],
        "sudo": sudo_rules(host, name),
        "trees": {tree: granted(host, name, tree) for tree in TREES if host.stat(tree)},
    }


def granted(host: HostReader, name: str, path: str) -> str:
    """`r`, `w` and `x` as the kernel grants them to a process of this account.

    Asked by a child that has become the account, groups and all: modes, ACLs, parents and
    mounts are then judged by the only one whose answer counts.
    """
    user = host.users().get(name)
    if user is None:
        return "-"
    child = os.fork()
    if child == 0:
        bits = 0
        try:
            bits = _as_account(name, user, path)
        finally:
            os._exit(bits)  # whatever happened: this is a copy of the whole tool
    found = os.WEXITSTATUS(os.waitpid(child, 0)[1])
    return "".join(letter for letter, mode in _MODES if found & mode) or "-"


def _as_account(name: str, user: PasswdEntry, path: str) -> int:
    os.initgroups(name, user.gid)
    os.setgid(user.gid)
    os.setuid(user.uid)
    return sum(mode for _, mode in _MODES if os.access(path, mode))


def _facts(
    site: Site, host: HostReader, name: str, record: Mapping[str, Held]
) -> dict[str, object]:
    """What is told of somebody alone, and in a list."""
    return {
        "name": name,
        "rosters": _rosters(site, name),
        "groups": sorted(host.groups_of(name)),
        "keys": fingerprints(host, name),
        # None where GitHub never named keys of theirs.
        "github_seen": record[name].seen or None if name in record else None,
        "password": password(host, name),
        "second_factor": second_factor.state(site, host, name),
        "revoked": _revoked(host, name),
    }


def who_is_root(site: Site, host: HostReader) -> Iterator[dict[str, Any]]:
    """Every account that is root or can become it, with each way there."""
    for user in host.users().values():
        ways = []
        if user.uid == 0:
            ways.append("uid 0")
        groups = host.groups_of(user.name) & roles.ROOT_EQUIVALENT_GROUPS
        ways += [f"group {group}" for group in sorted(groups)]
        if user.uid >= FIRST_PERSON:
            found = sudo_rules(host, user.name)
            ways += [f"sudo: {rule}" for rule in found if _makes_root(rule)]
        if ways and (user.uid == 0 or user.uid >= FIRST_PERSON):
            rosters = _rosters(site, user.name)
            yield {"name": user.name, "ways": ways, "rosters": rosters}


def fingerprints(host: HostReader, name: str) -> list[str]:
    """The keys that open an account of ours, each with its source."""
    lines = (host.read(f"{KEY_FOLDER}/{name}") or "").splitlines()
    return [
        f"{key} {line.rpartition('@')[2]}" for line in lines for key in in_text(line)
    ]


def password(host: HostReader, name: str) -> str:
    """`none yet`, `set` or `locked`; `no account` where there is none."""
    shadow = host.shadow().get(name)
    if shadow is None:
        return "no account"
    if shadow.never_set:
        return "none yet"
    return "locked" if shadow.locked else "set"


def without_password(site: Site, host: HostReader) -> list[str]:
    """Developers who have had an account for long, and never chose a password for sudo."""
    long_ago = int(time.time()) // (24 * 60 * 60) - PATIENCE_DAYS
    if not site.backend.sudo_password:
        return []
    return sorted(
        entry.name
        for entry in developers(site)
        for shadow in [host.shadow().get(entry.name)]
        if shadow and shadow.never_set and (shadow.changed or 0) <= long_ago
    )


def ending(site: Site, today: date) -> list[dict[str, str]]:
    """Whose access ends within two weeks, and as which day begins."""
    soon = today + timedelta(days=PATIENCE_DAYS)
    return [
        {"name": name, "until": str(day)}
        for name, day in sorted(last_days(site).items())
        if day and day <= soon
    ]


def sudo_rules(host: HostReader, name: str) -> list[str]:
    """The rules that sudo itself finds for an account."""
    return rules(host.sudo_rules(name)) if name in host.users() else []


def becomes_root(host: HostReader, name: str) -> bool:
    return any(map(_makes_root, sudo_rules(host, name)))


def _rosters(site: Site, name: str) -> list[str]:
    return [
        f"{entry.source}:{entry.line}"
        + (f" until {entry.expires}" if entry.expires else "")
        for entries in site.people.values()
        for entry in entries
        if entry.name == name
    ]


def revoked_keys(host: HostReader) -> list[str]:
    """Keys that are shut out by hand, each by its fingerprint, with when, who and why."""
    subjects = sorted(s for s in revoked.names(host) if s.startswith("SHA256:"))
    return [f"{subject} {_revoked(host, subject)}" for subject in subjects]


def _revoked(host: HostReader, subject: str) -> str | None:
    """Since when, by whom and why this is shut out by hand; None where it is not."""
    for entry in revoked.listed(host):
        if entry.subject == subject:
            return f"{entry.when} by {entry.who}: {entry.why}"
    return None


def _makes_root(rule: str) -> bool:
    """Whether a rule of `sudo -l` lets more be done as root than our own fixed commands."""
    runas, _, command = rule.rpartition(") ")
    who = re.split(r"[ :,(]+", runas)
    fixed = command.replace("NOPASSWD: ", "") in FIXED_COMMANDS
    return ("root" in who or "ALL" in who) and not fixed


def line(person: Mapping[str, Any]) -> str:
    """Somebody of `listed`, on one line."""
    rosters = " ".join(person["rosters"]) or "on no roster"
    keys = counted(person["keys"], "key")
    rest = f"{keys}, password {person['password']}"
    code = person["second_factor"]
    rest += f", second factor {code}" if code else ""
    rest += f", revoked {person['revoked']}" if person["revoked"] else ""
    return f"{person['name']:<16} {rosters}, {rest}"


def lines(found: Mapping[str, object]) -> Iterator[str]:
    """One account for a person to read: a fact a line."""
    for key, value in found.items():
        what = key.replace("_", " ")
        if isinstance(value, dict):
            yield from (f"{what:<11} {tree} {may}" for tree, may in value.items())
        elif isinstance(value, list):
            yield from (f"{what:<11} {item}" for item in value or ["none"])
        else:
            yield f"{what:<11} {'no' if value is None else value}"
