"""What a run stands on and is not ours: places to write to, room for systemd, a name, the time."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from typing import Iterator

from backend_server.access import kept_out
from backend_server.checkout.gather import Site, developers
from backend_server.engine.history import HISTORY, at
from backend_server.host import HostReader
from backend_server.host.mounts import APPEND, IMMUTABLE, is_immutable
from backend_server.people import keyring
from backend_server.resources import UNITS
from backend_server.text.parsers import parse_hosts, parse_nsswitch


_WRITTEN = ("/", "/etc", "/usr", "/boot", "/home", "/run", "/var", "/var/log")
_SSHD = ("multi-user.target.wants/ssh.service", "sockets.target.wants/ssh.socket")
_OF_PEOPLE = [f"/etc/{name}" for name in ("passwd", "shadow", "group", "gshadow")]
_ROOM = 16 << 20  # with less in /run, systemd refuses to read a unit anew


def beneath(site: Site, host: HostReader) -> Iterator[str]:
    """A sentence for each thing that a run stands on, or people come in by, and that is amiss."""
    yield from _missing(host)
    yield from _after_a_reboot(host)
    yield from kept_out.shut(host, (entry.name for entry in developers(site)))


def _after_a_reboot(host: HostReader) -> Iterator[str]:
    starts = (f"{UNITS}/{each}" for each in _SSHD)
    masked = host.link(f"{UNITS}/ssh.service") == os.devnull
    if host.stat("/usr/sbin/sshd") and (masked or not any(map(host.stat, starts))):
        mends = "systemctl unmask ssh.service; systemctl enable ssh.service"
        yield f"nothing starts sshd after a reboot; try: {mends}"


def _missing(host: HostReader) -> Iterator[str]:
    """A sentence for each thing that keeps a run or sudo from its work, with what mends it."""
    spaces = ((path, host.space(path)) for path in _WRITTEN)
    shut = [path for path, space in spaces if space and space.read_only]
    for path in shut[:1]:  # others may be on the same disk
        yield f"{path} is mounted read-only; try: mount -o remount,rw {path}"
    fixed = [p for p in _OF_PEOPLE if is_immutable(host, p, IMMUTABLE | APPEND)]
    if fixed:
        them = " ".join(fixed)
        mends = f"chattr -ia {them}"
        yield f"nobody is let in or taken out while {them} is immutable; try: {mends}"
    run = host.space("/run")
    if run and run.free < _ROOM:
        mends = f"mount -o remount,size={(run.used + 4 * _ROOM) >> 20}M /run"
        yield f"/run lacks the 16 MB that systemd wants to read units; try: {mends}"
    last = host.stat(HISTORY)
    if last and last.st_mtime > time.time() + 60:
        yield f"the clock was at {at(last.st_mtime)} in the last run; try: timedatectl"
    # This run may have heard of it.
    booted = host.to_keep.get(keyring.CLOCK, host.read(keyring.CLOCK)) or ""
    ahead = keyring.ahead_s(booted)
    if ahead:
        off = f"{timedelta(seconds=abs(ahead))} {'ahead of' if ahead > 0 else 'behind'}"
        mends = f"date --set='{-ahead} seconds'; timedatectl"
        yield f"the clock is {off} GitHub's; try: {mends}"
    name = os.uname().nodename
    sources = host.parsed("/etc/nsswitch.conf", parse_nsswitch).get("hosts", ())
    # systemd-resolved knows it, too.
    stub = "127.0.0.53" in (host.read("/etc/resolv.conf") or "")
    known = stub or {"myhostname", "resolve"}.intersection(sources)
    if not known and name not in parse_hosts(host.read("/etc/hosts") or ""):
        mends = f"echo 127.0.1.1 {name} >> /etc/hosts"
        yield f"only name servers know this host, {name}, and sudo waits; try: {mends}"
