"""Control groups: each host has its own, and killing one kills the host.

This is the one place that knows whether systemd runs this machine. Where it does,
systemd-nspawn registers with it and gets a scope; elsewhere the groups are made here.
"""

from __future__ import annotations

import os
import re
import signal
import time
from contextlib import suppress
from pathlib import Path

from sandbox.command import run
from sandbox.errors import CannotRun, SandboxError


MOUNT = Path("/sys/fs/cgroup")
BOOTED_BY_SYSTEMD = Path("/run/systemd/system").is_dir()
# The group that can be killed: cgroup2, alone or beside the older controllers.
UNIFIED = MOUNT if (MOUNT / "cgroup.controllers").exists() else MOUNT / "unified"
LEGACY = MOUNT / "systemd"

# Both take the groups as their first argument. 133 says that the host wants to be
# booted again, which nspawn leaves to its caller when it keeps the unit it is in.
JOIN = 'for group in $1; do echo $$ > "$group/cgroup.procs"; done; shift\n'
START = JOIN + 'while "$@"; [ $? = 133 ]; do :; done'
ENTER = JOIN + 'exec "$@"'


def check() -> None:
    """Refuses where no group can be made, as in most containers."""
    if not (UNIFIED / "cgroup.procs").exists():
        raise CannotRun(f"no cgroup2 at {UNIFIED}", hint="a machine or VM of your own")


def boot_flags() -> list[str]:
    """What nspawn must be told about the groups."""
    return [] if BOOTED_BY_SYSTEMD else ["--keep-unit", "--register=no"]


def make(host: str) -> list[Path]:
    """The groups a host is to be started in; none where nspawn is given a scope."""
    groups = [] if BOOTED_BY_SYSTEMD else own_groups(host)
    for group in groups:
        group.mkdir(exist_ok=True)
    return groups


def layout(legacy: bool) -> dict[str, str]:
    """Which layout the host sees, for nspawn's environment.

    Docker's limits need the controllers, and a machine has them in one place only:
    where it has the older layout, hosts that limit containers must have it too. Left to
    choose, nspawn then gives them cgroup2 beside it; without that nobody tells their init
    that a session is empty, and a reboot with somebody logged in takes two minutes.
    """
    older = legacy and LEGACY.exists()
    return {} if older else {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}


def own_groups(host: str) -> list[Path]:
    """The groups of a host, the one that can be killed last."""
    if BOOTED_BY_SYSTEMD:
        return [MOUNT / "machine.slice" / f"machine-{host}.scope"]
    return [LEGACY / host, UNIFIED / host] if LEGACY.exists() else [UNIFIED / host]


def hosts(prefix: str) -> list[str]:
    """Names of hosts that have groups, running or not."""
    pattern = own_groups(f"{prefix}*")[-1]
    found = pattern.parent.glob(pattern.name)
    return sorted(re.sub(r"^machine-|\.scope$", "", path.name) for path in found)


def leader(host: str) -> int | None:
    """Process 1 of a host, None while there is none."""
    group = own_groups(host)[-1]
    # Its usual place first: this is asked for every program that is run in a host.
    usual = processes(group / "payload" / "init.scope")
    for pid in usual or processes(group):
        if numbers_of(pid)[1:] == ["1"]:
            return pid
    return None


def numbers_of(pid: int) -> list[str]:
    """What a process is called here, and in each namespace on the way down to its own."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return []
    line: str = re.findall(r"^NSpid:(.*)$", status, re.M)[0]
    return line.split()


def processes(group: Path) -> list[int]:
    """Who is in a group and in the groups below it."""
    found: list[int] = []
    for path in group.glob("**/cgroup.procs"):
        with suppress(OSError):
            found += map(int, path.read_text().split())
    return found


def groups_of(pid: int) -> list[Path]:
    """Where a process is, so that another can be put beside it."""
    found = []
    text = ""
    with suppress(OSError):
        text = Path(f"/proc/{pid}/cgroup").read_text()
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        top = {"": UNIFIED, "name=systemd": LEGACY}.get(controllers)
        if top and top.exists():
            found.append(top / path.lstrip("/"))
    return found


def kill(host: str) -> None:
    """Nothing of the host runs any more, and its groups are gone."""
    group = own_groups(host)[-1]
    deadline = time.monotonic() + 20
    while group.exists():
        pids = processes(group)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not pids:
            remove(host)
        if time.monotonic() > deadline:
            raise SandboxError(f"{host} cannot be killed; {group} has {pids}")
        time.sleep(0.01)
    remove(host)
    run("rm", "-rf", f"/run/systemd/nspawn/propagate/{host}")


def remove(host: str) -> None:
    """The empty groups we made are gone, as far as the kernel is done with them."""
    for top in [] if BOOTED_BY_SYSTEMD else own_groups(host):
        for folder in sorted(top.glob("**/"), reverse=True):
            with suppress(OSError):
                folder.rmdir()
