"""The ways in which an account can act on a host, and shutting them for good."""

from __future__ import annotations

import contextlib
import re
from typing import Callable, Iterator

from backend_server.access.pam_profiles import SECRETS
from backend_server.checkout.keys import KEY_FOLDER, in_text
from backend_server.checkout.service import AIRLOCKS
from backend_server.host import Host, HostReader
from backend_server.people import crontabs, own_lines, owned, processes
from backend_server.resources.group import LOST, note_lost
from backend_server.text.change import counted
from backend_server.text.errors import CommandFailed, UserError
from backend_server.text.frozen import Frozen
from backend_server.text.parsers import FIRST_PERSON
from backend_server.text.roles import MARKER


_ASK_S = 10
_LINGER = "/var/lib/systemd/linger"  # which is all that logind goes by
_SOCKETS = "/run/xrdp/sockdir"  # from 0.10 on with a folder for each uid
# What shows that a door is open, or shuts it.
_OF_ALL = ("/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow", KEY_FOLDER)
_OWN = (KEY_FOLDER, SECRETS, _LINGER, crontabs.CRONTABS)
_LEFT = (
    ("/tmp/.X11-unix", "X[0-9]+"),
    ("/tmp", r"\.X[0-9]+-lock"),
    (_SOCKETS, "xrdp.*"),
)


Look = Callable[[HostReader, str], str]
Act = Callable[[Host, str], None]


class Door(Frozen):
    """`still_open` says what is open in a few words, "" when nothing is."""

    name: str
    still_open: Look
    shut: Act


def open_doors(host: HostReader, *names: str) -> frozenset[str]:
    """What is open to these accounts, as `ada: 2 keys`."""
    doors = [door for door in DOORS if door.still_open != _sessions]
    found = [(name, door.still_open(host, name)) for name in names for door in doors]
    running = processes.running(host) if names else {}  # for all of them, as it is slow
    found += [(name, _sessions_in(running, host, name)) for name in names]
    return frozenset(f"{name}: {what}" for name, what in found if what)


def shut_out(host: Host, name: str) -> Iterator[tuple[str, str]]:
    """Every door is shut; each is named with what was found open, "" when nothing was.

    Raises UserError at the end for those that are open still: no trouble with one keeps the
    others from being tried, and all are tried twice, for what runs until the last of them
    is shut may have opened another.
    """
    whys: list[str] = []
    if open_doors(host, name):
        with contextlib.suppress(OSError):  # a full disk keeps no door open
            note_lost(host, name)
    for number, door in enumerate(DOORS * 2):
        if whys and number == len(DOORS):
            host.say("what may not be changed by chattr(1) may be from now on")
            _ask(host, "chattr", "-ia", *_OF_ALL, *(f"{f}/{name}" for f in _OWN))
        found, why = _try(door, host, name)
        whys += [f"{door.name}: {why}"] if why else []
        if found or number < len(DOORS):
            yield door.name, found
    left = open_doors(host, name)
    if left:
        raise UserError(
            f"still open after every door was tried: {'; '.join(sorted(left))}",
            hint="\n".join(dict.fromkeys(whys))
            or f"see what opens them again, as {name} or as root",
        )


def end_sessions(host: Host, name: str) -> str:
    """Nothing that the account started runs any more; what did."""
    found = _sessions(host, name)
    if found:
        _end_sessions(host, name)
    _log_out(host, name)
    return found


def _try(door: Door, host: Host, name: str) -> tuple[str, str]:
    """What was found open, and why it could not be shut."""
    found = "unknown"
    try:
        found = door.still_open(host, name)
        if found:
            door.shut(host, name)
    except (UserError, OSError) as error:
        return found, f"{error} {getattr(error, 'hint', '')}".strip()
    return found, ""


def _expiry(host: HostReader, name: str) -> str:
    # Only expiry stops sudo, su, cron and at, in sessions that are open too.
    entry = host.shadow().get(name)
    shut = name not in host.users() or (entry and entry.expires == 0)
    return "" if shut else "no expiry"


def _password(host: HostReader, name: str) -> str:
    entry = host.shadow().get(name)
    none = name not in host.users() or entry is None or entry.never_set
    return "" if none else "a password"


def _by(still_open: Look, *argv: str) -> Act:
    """By a program; by ourselves where it will not, as other lines of the file are bad."""

    def shut(host: Host, name: str) -> None:
        _ask(host, *argv, name)
        if still_open(host, name):
            own_lines.shut(host, name)

    return shut


def _there(folder: str, what: str) -> Look:
    """Open by what is in FOLDER under the account's name, as `_gone` shuts it."""
    return lambda host, name: what if host.stat(f"{folder}/{name}") else ""


def _gone(folder: str) -> Act:
    return lambda host, name: host.remove(f"{folder}/{name}")


def _keys(host: HostReader, name: str) -> str:
    path = f"{KEY_FOLDER}/{name}"
    keys = in_text(host.read(path) or "")
    return counted(len(keys), "key") if host.stat(path) else ""


def _groups_to_leave(host: HostReader, name: str) -> list[str]:
    stays = {MARKER}
    if name in host.users():
        stays.add(host.group_name(host.users()[name].gid))
    return sorted(host.groups_of(name) - stays)


def _groups(host: HostReader, name: str) -> str:
    groups = _groups_to_leave(host, name)
    return f"group{'s' if groups[1:] else ''} {' '.join(groups)}" if groups else ""


def _leave_groups(host: Host, name: str) -> None:
    for group in _groups_to_leave(host, name):
        _ask(host, "gpasswd", "--delete", name, group)
    left = _groups_to_leave(host, name)
    if left:
        own_lines.leave(host, name, left)


def _sessions(host: HostReader, name: str) -> str:
    return _sessions_in(processes.running(host), host, name)


def _sessions_in(running: processes.Processes, host: HostReader, name: str) -> str:
    user = host.users().get(name)
    if user is None or user.uid < FIRST_PERSON:  # whose processes are the system's
        return ""
    alive = [p for p in processes.of(running, user.uid) if not p.doomed]
    return counted(len(alive), "process") if alive else ""


def _end_sessions(host: Host, name: str) -> None:
    uid = host.users()[name].uid
    ours = processes.ours(processes.running(host)).values()
    # Else logind would end this run too.
    if not any(uid in process.uids for process in ours):
        _ask(host, "loginctl", "terminate-user", name)
    processes.end(host, uid)
    for verb in ("stop", "reset-failed"):  # a manager that was killed counts as failed
        _ask(host, "systemctl", verb, f"user@{uid}.service")
    _free_displays(host, uid)


def _free_displays(host: Host, uid: int) -> None:
    """What a session's X server and channel server left behind, killed before they could tidy.

    sesman takes a display for one in use while any of it is there (x_server_running_check_ports).
    """
    for folder, pattern in (*_LEFT, (f"{_SOCKETS}/{uid}", ".*")):
        for name in host.names(folder):
            found = host.stat(f"{folder}/{name}")
            ours = found is not None and found.st_uid == uid
            if ours and re.fullmatch(pattern, name):
                with contextlib.suppress(OSError, UserError):  # a folder is no server's
                    host.remove(f"{folder}/{name}")


def _logins(host: HostReader, name: str) -> str:
    if host.stat(AIRLOCKS) is None:
        return ""
    from backend_server.people import logins  # seldom needed, and slow

    found = logins.of(AIRLOCKS, name)
    return f"{counted(len(found), 'login')} to Airlock" if found else ""


def _log_out(host: Host, name: str) -> None:
    if _logins(host, name):
        from backend_server.people import logins

        logins.end(AIRLOCKS, name)


def look_through(host: Host, name: str) -> None:
    """What makes others them, or of a group of theirs, does not any more. Once is enough."""
    found = owned.files(host, name)
    host.say(f"{name} still owns {owned.told(found)}")
    for path in owned.set_id(found):
        host.say(f"set-user-id and set-group-id taken from {name}'s {path!a}")
        with contextlib.suppress(OSError, UserError):  # what is left is seen below
            host.clear_set_id(path, host.users()[name].uid)
    left = owned.set_id(owned.files(host, name)) if owned.set_id(found) else ()
    if left:
        raise UserError(
            f"set-user-id or set-group-id files of {name}'s are left, such as {left[0]!a}",
            hint=owned.CLEARING.format(name),
        )
    host.remove(f"{LOST}/{name}")


def _ask(host: Host, *argv: str) -> None:
    """Where there is no such program, or nothing to end, what we do ourselves has to do."""
    with contextlib.suppress(CommandFailed):
        host.run(*argv, deadline_s=_ASK_S)


# In the order in which they are shut. What can open a door again goes after it.
DOORS = (
    Door("expiry", _expiry, _by(_expiry, "chage", "--expiredate", "0")),
    Door("password", _password, _by(_password, "usermod", "--password", "!")),
    Door("second factor", _there(SECRETS, "a second factor"), _gone(SECRETS)),
    Door("keys", _keys, _gone(KEY_FOLDER)),
    Door("groups", _groups, _leave_groups),
    Door("linger", _there(_LINGER, "lingering"), _gone(_LINGER)),
    Door("crontab", _there(crontabs.CRONTABS, "a crontab"), crontabs.put_crontab_away),
    Door("at", crontabs.at_jobs, crontabs.put_at_jobs_away),
    Door("sessions", _sessions, _end_sessions),
    Door("Airlock", _logins, _log_out),
    Door("set-id files", _there(LOST, "files not looked through"), look_through),
)
