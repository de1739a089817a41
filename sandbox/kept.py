"""Hosts that outlive the run that made them, until they are removed by name."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Mapping

from sandbox import cgroups, leftovers, uplink
from sandbox.command import Done, told
from sandbox.controller import Controller
from sandbox.errors import CannotRun
from sandbox.host import Host
from sandbox.images import Images
from sandbox.machine import Machine
from sandbox.services import TOKEN


MARK = "kept"
IDENTITY = "etc/opensafely/backend"


@dataclass(frozen=True)
class Kept:
    """A host that was kept, as its mark has it; its stand-ins run on beside it."""

    id: str
    backend: str
    release: str
    address: str
    online: bool
    # What the stand-ins' registry has, for the images of jobs.
    digests: Mapping[str, Mapping[str, str]]

    @property
    def machine(self) -> Machine:
        return Machine(self.id)

    def run(self, command: str, check: bool = True) -> Done:
        """A shell line run as root in the host."""
        done = self.machine.run(command, timeout_s=600)
        return told(done, self.id, command, check)

    def state(self) -> str:
        """What its init says, or that there is none."""
        if self.machine.init() is None:
            return "down"
        return self.run("systemctl is-system-running", check=False).stdout.strip()

    def managed(self) -> bool:
        """Whether it has become a backend."""
        return self.run(f"test -e /{IDENTITY}", check=False).returncode == 0

    def controller(self) -> Controller:
        """The stand-in's folder, which is another process's too."""
        images = Images(Path(), Path(), self.digests)
        folder = uplink.RUNTIME / self.id[:4] / "outside/controller"
        return Controller(folder, {self.backend: TOKEN}, images)


def keep(host: Host, backend: str, images: Images) -> None:
    """Whoever is asked to remove this host may do so, and its lab with it."""
    facts = (host.tree.release, host.address, host.lab.online, images.digests)
    mark = host.lab.runtime / MARK
    mark.write_text(json.dumps(asdict(Kept(host.id, backend, *facts))))


def hosts() -> list[Kept]:
    """All that are kept, by name."""
    marks = (uplink.RUNTIME / lab / MARK for lab in uplink.labs())
    return [Kept(**json.loads(mark.read_text())) for mark in marks if mark.exists()]


def find(name: str) -> Kept:
    """The one of this name. Raises CannotRun where there is none."""
    found = {host.id: host for host in hosts()}
    if name not in found:
        there = ", ".join(found) or "none"
        raise CannotRun(f"no kept host is called {name}; there are: {there}")
    return found[name]


def up(name: str) -> Kept:
    """The one of this name, which runs. Raises CannotRun where it does not."""
    host = find(name)
    if host.state() == "down":
        raise CannotRun(
            f"{name} is down, and is not started again",
            hint=f"sudo ./scripts/sandbox.sh --remove {name}",
        )
    return host


def remove(name: str) -> None:
    """A kept host and its lab are gone."""
    lab = find(name).id[:4]
    for host in cgroups.hosts(lab):
        cgroups.kill(host)
    leftovers.stop_programs(lab)
    deadline = time.monotonic() + 10
    # Its programs held the lock, and it is free once the last of them has ended.
    lock = leftovers.try_lock(int(lab[2:]))
    while lock is None:
        if time.monotonic() > deadline:
            raise CannotRun(f"{lab} is still in use")
        time.sleep(0.05)
        lock = leftovers.try_lock(int(lab[2:]))
    with lock:
        leftovers.sweep(lab)
