"""apt-get, so that it never prompts, never surprises, and says whom it waits for."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import struct
import time
from typing import Iterable

from backend_server.host import command
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.text.errors import CommandFailed
from backend_server.text.frozen import Frozen


WAIT_S = 600  # for whoever holds a lock of apt's or dpkg's
_DEADLINE_S = 3600

LOCKS = (
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/apt/lists/lock",
    "/var/cache/apt/archives/lock",
)

# Conffiles that were changed here stay, and a mirror that does not answer is given up soon. What
# needrestart does is in command.ENVIRONMENT.
_OPTIONS = (
    *("--yes", "--quiet", "-o=Dpkg::Use-Pty=0", f"-o=DPkg::Lock::Timeout={WAIT_S}"),
    *(f"-o=Dpkg::Options::=--force-{kept}" for kept in ("confdef", "confold")),
    *(f"-o=Acquire::{kind}::Timeout=10" for kind in ("http", "https")),
    "-o=Acquire::Retries=1",
)

_UPGRADE = "opensafely-upgrade.service"
_STOP_S = 15  # for what a killed apt-get left behind
# struct flock of fcntl(2) on 64-bit Linux: type, whence, start, len, pid.
_FLOCK = "hhqqi"


def update(host: Host) -> None:
    """The package lists are fresh. Raises CommandFailed when one source did not answer."""
    wait_for_locks(host)
    try:
        # Without Error-Mode=any apt-get ends with 0 although nothing was fetched.
        _apt_get(host, "update", "-o=APT::Update::Error-Mode=any")
    except CommandFailed as error:
        hint = "apt-get update; nft list table inet opensafely"
        if "Problem executing scripts" in error.hint:
            hint = "grep -rn Invoke /etc/apt"
        elif re.search("not (yet valid|valid yet)|expired", error.hint):
            hint = "timedatectl"
        what = "the package lists could not be fetched: " + unreachable(error.hint)
        raise CommandFailed(what, hint=hint) from None


def install(host: Host, names: Iterable[str]) -> None:
    """These packages are installed, with what they need and nothing more.

    Nothing that is installed is upgraded by name or removed.
    """
    options = ("--no-install-recommends", "--no-upgrade", "--no-remove")
    apt_get(host, *options, "install", *sorted(names))


def upgrade_held(host: Host, names: Iterable[str]) -> str:
    """These packages, which are on hold, are the newest, and on hold. Returns what apt said.

    dpkg takes a package off hold while it upgrades it. That it is put back is left to
    systemd, which does so where this run, or apt-get itself, is killed.
    """
    held = sorted(names)
    wait_for_locks(host)
    finish_interrupted(host)
    unit = (
        *("systemd-run", "--quiet", "--wait", "--pipe", "--collect"),
        f"--unit={_UPGRADE}",
        f"--property=TimeoutStopSec={_STOP_S}",
        f"--property=ExecStopPost=/usr/bin/apt-mark hold {' '.join(held)}",
        *(f"--setenv={name}={value}" for name, value in command.ENVIRONMENT.items()),
    )
    only = ("--only-upgrade", "--no-install-recommends", "--no-remove")
    apt = ("apt-get", *_OPTIONS, *only, "--allow-change-held-packages", "install")
    try:
        return host.run(*unit, *apt, *held, deadline_s=_DEADLINE_S)
    except BaseException:  # Ctrl-C reaches us, and not what systemd runs
        host.run("systemctl", "stop", _UPGRADE)
        raise


def upgrade(host: Host) -> str:
    """All others are the newest, but for those that something would have to go for."""
    return apt_get(host, "--with-new-pkgs", "--no-remove", "upgrade")


def apt_get(host: Host, *argv: str) -> str:
    wait_for_locks(host)
    finish_interrupted(host)
    return _apt_get(host, *argv)


def finish_interrupted(host: Host) -> None:
    """Packages that a killed dpkg left half-way are whole, else apt-get refuses to go on.

    Those whose own script fails stay as they are, and nothing else waits for them.
    """
    if unfinished(host) or host.names("/var/lib/dpkg/updates"):
        keep = ("--force-confdef", "--force-confold")
        with contextlib.suppress(CommandFailed):
            host.run("dpkg", *keep, "--configure", "-a", deadline_s=_DEADLINE_S)
    half = sorted(name for name, state in host.packages().items() if state.half)
    if half:
        _apt_get(host, "--reinstall", "install", *half)


def unfinished(host: HostReader) -> list[str]:
    """What dpkg has begun to install, and not ended."""
    return sorted(name for name, state in host.packages().items() if not state.whole)


def _apt_get(host: Host, *argv: str) -> str:
    return host.run("apt-get", *_OPTIONS, *argv, deadline_s=_DEADLINE_S)


class Holder(Frozen):
    """A process that holds a lock."""

    path: str
    pid: int
    program: str


def lock_holder(host: Host) -> Holder | None:
    """Who holds one of apt's locks now."""
    for path in LOCKS:
        try:
            with open(host.root / path.lstrip("/"), "rb") as file:
                ask = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
                found = fcntl.fcntl(file, fcntl.F_GETLK, ask)
                kind, *_, pid = struct.unpack(_FLOCK, found)
        except OSError:
            continue  # no dpkg has run here yet
        if kind != fcntl.F_UNLCK:
            name = (host.read(f"/proc/{pid}/comm") or "a process elsewhere").strip()
            return Holder(path, pid, name)
    return None


def wait_for_locks(host: Host, wait_s: float = WAIT_S) -> None:
    """Nobody else is installing packages. Says once for whom it waits, and how long at most."""
    told, deadline = None, time.monotonic() + wait_s
    while True:
        holder = lock_holder(host)
        if holder is None:
            return
        who = f"{holder.program} (pid {holder.pid}), which holds {holder.path}"
        if time.monotonic() > deadline:
            raise CommandFailed(
                f"gave up waiting for {who}, after {wait_s:g} seconds",
                hint=f"ps -fp {holder.pid}",
            )
        if told != holder:
            host.say(f"waiting up to {wait_s:g} s for {who}")
            told = holder
        time.sleep(0.5)


def unreachable(output: str) -> str:
    """The sources apt-get named as not fetched, out of its output."""
    parts = (line.partition("Failed to fetch ") for line in output.splitlines())
    urls = dict.fromkeys(rest for _, failed, rest in parts if failed)
    return "; ".join(urls) or output.strip()[-500:]
