"""A guest: a server with a kernel of its own, emulated, in a lab beside its hosts."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Mapping, Sequence

from sandbox import guestimage, identity, leftovers
from sandbox.command import Done, run, told
from sandbox.errors import SandboxError
from sandbox.guestagent import Agent
from sandbox.guestimage import SNAPSHOT, Image
from sandbox.host import BOOTED, SSH, UP
from sandbox.network import Lab
from sandbox.people import People
from sandbox.qemu import Qemu


# docker alone takes most of a minute to start, emulated, on a machine that is busy.
PATIENCE_S = 800
TAKE_IDENTITY = """
date --set=@{now} >/dev/null
echo {name} > /etc/hostname && hostname {name}
# The same file, as containers have it mounted.
hosts=$(sed '/^127\\.0\\.1\\.1 /d' /etc/hosts)
printf '127.0.1.1 %s\\n%s\\n' {name} "$hosts" > /etc/hosts
cat > /{unit}
networkctl reload
sync
"""


class Guest:
    """A disposable server, as Host is, but with a kernel, a disk and a clock of its own.

    It boots in a minute, and from a snapshot in some seconds. Commands as root go through
    an agent: they work with the network cut. Everything in it takes ten times as long.
    """

    def __init__(self, lab: Lab, name: str, image: Image, cache: Path) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9]{0,7}", name):
            raise SandboxError(f"guest name {name!r}: wanted at most 8 of a-z and 0-9")
        self.lab, self.name, self.image = lab, name, image
        self.id = f"{lab.name}{name}"
        self.folder = cache / "run" / self.id
        self.disk = self.folder / "disk.qcow2"
        self.console = self.folder / "console.log"
        self.link = f"vb-{self.id}"
        self.neighbour = lab.new_neighbour()
        self.addresses = identity.addresses(lab.number, self.neighbour)
        self.address, self.address6 = self.addresses
        # Where the lab itself is, and what a test has listening in it.
        self.gateway = identity.addresses(lab.number, 1)[0]
        self.people: People = image.people
        self.qemu = Qemu(lab, self.id)
        self.agent = Agent(self.qemu.agent)
        self.seeds: list[Path] = []
        self.boot_id = self.state = ""
        run("rm", "-rf", "--one-file-system", self.folder)
        self.folder.mkdir(parents=True)
        leftovers.note(lab.name, self.folder)
        lab.ip("tuntap", "add", self.link, "mode", "tap")
        lab.ip("link", "set", self.link, "master", "br0")
        self.plug()

    def resume(self) -> Guest:
        """The guest is up, where the image's snapshot was taken: with a new identity."""
        run("cp", "--sparse=always", self.image.ready, self.disk)
        self._start(SNAPSHOT)
        self._awake(60)
        script = TAKE_IDENTITY.format(
            now=int(time.time()), name=self.name, unit=identity.UNIT
        )
        mac = f"02:00:00:00:01:{self.neighbour:02x}"
        network = identity.network(self.addresses, self.lab.number, "eth0", mac)
        self.run(script, stdin=network)
        self._quiet(120)
        self.boot_id, self.state = self.run(BOOTED, check=False).stdout.split()
        return self

    def boot(self, seeds: Sequence[Path] = (), timeout_s: float = PATIENCE_S) -> Guest:
        """The guest is up from its disk, a new one at first; `seeds` are further disks."""
        if not self.disk.exists():
            guestimage.overlay(self.image.disk, self.disk)
        self.seeds += seeds
        self._start()
        return self.wait(timeout_s)

    def wait(self, timeout_s: float = PATIENCE_S) -> Guest:
        """The guest has booted anew: `boot_id` is another, `state` is what init says."""
        deadline = time.monotonic() + timeout_s
        while self.qemu.alive and time.monotonic() < deadline:
            words = self._asked(BOOTED).split()
            if len(words) == 2 and words[0] != self.boot_id and words[1] in UP:
                self.boot_id, self.state = words
                return self
            time.sleep(0.2)
        raise SandboxError(f"{self.name} was not up in {timeout_s:.0f} s:\n{self.last}")

    @property
    def last(self) -> str:
        """The end of what the guest said on its console."""
        text = self.console.read_text(errors="replace")
        return "\n".join(text.splitlines()[-30:])

    def run(
        self,
        command: str,
        check: bool = True,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        timeout_s: float = 600,
    ) -> Done:
        """A shell line run as root in the guest."""
        done = self.agent.run(command, stdin, env, timeout_s)
        return told(done, self.name, command, check)

    def read(self, name: str) -> str:
        """A file of the guest."""
        return self.run(f"cat '{name}'").stdout

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        """A file of the guest, owned by root, on its disk when this returns."""
        self.run(
            f"mkdir -p \"$(dirname '{name}')\" && install -m {mode:o} /dev/stdin '{name}'"
            f" && sync '{name}'",
            stdin=text,
        )

    def ssh(
        self, user: str, key: Path, command: str, check: bool = True, stdin: str = ""
    ) -> Done:
        """A shell line run by a person, through the network and sshd; 255: no way in."""
        # ssh takes the first of two.
        argv = ("ssh", "-oConnectTimeout=20", *SSH[1:], "-i", key)
        return run(*argv, f"{user}@{self.address}", command, check=check, stdin=stdin)

    def reboot(self, command: str = "systemctl reboot") -> Guest:
        """The guest has gone down and come up again, from its disk."""
        self.run(f"sleep 0.2 && {command} >/dev/null 2>&1 &", check=False)
        return self.wait()

    def kill(self) -> None:
        """The plug is pulled. `boot` is the next thing to do."""
        self.qemu.kill()

    def unplug(self) -> None:
        """The guest has lost its network, as when a cable is out."""
        self.lab.ip("link", "set", self.link, "nomaster")

    def plug(self) -> None:
        self.lab.ip("link", "set", self.link, "master", "br0", "up")

    def snapshot(self, image: Image) -> None:
        """The guest as it is now is where others go on; it is used up."""
        self.run("sync")
        self.qemu.order(f"savevm {SNAPSHOT}", timeout_s=300)
        self.qemu.kill()
        run("mv", self.disk, image.ready)
        self.destroy()

    def destroy(self) -> None:
        """Nothing of the guest is left."""
        self.qemu.kill()
        self.lab.ip("link", "delete", self.link)
        run("rm", "-rf", "--one-file-system", self.folder)

    def _start(self, snapshot: str = "") -> None:
        self.lab.prove_inside(self.address)
        disks = [self.disk, *self.seeds]
        self.qemu.start(self.image.boot, disks, self.link, self.console, snapshot)

    def _awake(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while self._asked("echo here") != "here\n":
            if not self.qemu.alive or time.monotonic() > deadline:
                raise SandboxError(f"{self.name} does not wake up:\n{self.last}")
            time.sleep(0.05)

    def _quiet(self, timeout_s: float) -> None:
        """What its timers missed while it was saved, and its new date sets off, is done."""
        deadline = time.monotonic() + timeout_s
        question = "systemctl list-jobs --no-legend"
        while self.run(question).stdout and time.monotonic() < deadline:
            time.sleep(1)

    def _asked(self, question: str) -> str:
        """The answer; empty where there is nobody yet, or not any more."""
        try:
            return self.agent.run(question, timeout_s=60).stdout
        except SandboxError:
            return ""
