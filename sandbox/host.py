"""A host: booted from layers, in a lab, with an init, sshd and addresses of its own."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path
from typing import Mapping, Sequence

from sandbox import identity
from sandbox.command import Done, run, told
from sandbox.errors import SandboxError
from sandbox.machine import CLEAN, Machine
from sandbox.network import Lab
from sandbox.overlay import Layer, Overlay
from sandbox.people import People
from sandbox.tree import Tree, write


# "degraded" is up too: a test may have broken a unit on purpose.
UP = ("running", "degraded")
# A process that no signal but KILL ends, as of a job or of an old containerd, delays the
# end of a host for 90 s, as it does on a server.
PATIENCE_S = 150
BOOTED = """
cat /proc/sys/kernel/random/boot_id
timeout 30 systemctl is-system-running --wait
"""
# nspawn mounts the older controllers read-only; docker is to set limits in them.
LIMITS = "usr/local/lib/systemd/system/docker.service.d/limits.conf"
LET_DOCKER_LIMIT = """\
[Service]
ExecStartPre=/bin/sh -c 'for c in /sys/fs/cgroup/*/; do mount -o remount,bind,rw $$c; done'
"""
SSH = (
    *("ssh", "-F/dev/null", "-oIdentitiesOnly=yes", "-oBatchMode=yes"),
    *("-oUserKnownHostsFile=/dev/null", "-oStrictHostKeyChecking=no"),
    *("-oConnectTimeout=3", "-oLogLevel=ERROR"),
)


class Host:
    """A disposable server.

    Made with its layers mounted at `root`, so that files can be put there first;
    `boot` starts it. Names are short, for the lab's name and theirs make a link's.
    """

    def __init__(
        self, lab: Lab, name: str, tree: Tree, cache: Path, layer: Layer | None = None
    ) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9]{0,7}", name):
            raise SandboxError(f"host name {name!r}: wanted at most 8 of a-z and 0-9")
        self.lab, self.name, self.tree = lab, name, tree
        self.id = f"{lab.name}{name}"
        self.machine = Machine(self.id)
        self.overlay = Overlay(self.id, cache / "run" / self.id)
        self.root = self.overlay.root
        self.console = self.overlay.folder / "console.log"
        self.addresses = identity.addresses(lab.number, lab.new_neighbour())
        self.address, self.address6 = self.addresses
        # Whose keys open it: a host from a layer has the people of that layer.
        self.people: People = layer.people if layer else {}
        self.boot_id = self.state = ""
        self.init: int | None = None
        if self.root.is_mount():
            raise SandboxError(f"{self.lab.name} has a host called {name} already")
        try:
            # From a run that was killed before there was anything to sweep by.
            self.overlay.remove()
            self._mount(layer)
        except BaseException:
            self.destroy()
            raise

    def _mount(self, layer: Layer | None) -> None:
        upper = [layer.upper] if layer else []
        self.overlay.mount([*upper, *self.tree.lower])
        if layer:
            self.overlay.restore_docker(layer.docker)
        identity.give(self.root, self.name, self.addresses, self.lab.number)

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        """A file of the host, owned by root; also while it is running."""
        write(self.root, name.lstrip("/"), text, mode)

    def read(self, name: str) -> str:
        """A file of the host; /run, /tmp and /proc are other file systems: use `run`."""
        return (self.root / name.lstrip("/")).read_text()

    def chroot(self, *argv: object) -> str:
        """A program of the host run before it boots."""
        return run("chroot", self.root, *CLEAN, *argv).stdout

    def boot(self, legacy_cgroups: bool = False, binds: Sequence[str] = ()) -> Host:
        """The host is up: init has started its units and port 22 answers."""
        self.lab.prove_inside(self.address)
        if legacy_cgroups:
            self.write(LIMITS, LET_DOCKER_LIMIT)
        docker = f"{self.overlay.docker}:/var/lib/docker"
        options = (
            *(f"--directory={self.root}", f"--hostname={self.name}"),
            *(f"--bind={bind}" for bind in (docker, *binds)),
        )
        self.machine.start(self.lab, self.console, options, legacy_cgroups)
        return self.wait()

    def wait(self, ssh: bool = True, timeout_s: float = PATIENCE_S) -> Host:
        """The host has booted anew: `boot_id` is another, `state` is what init says.

        sshd still answers while a host goes down, so only a new init counts. The old
        one is not asked: it would wait for the program that asks to go away.
        """
        deadline = time.monotonic() + timeout_s
        while self.machine.alive and time.monotonic() < deadline:
            init = self.machine.init()
            if init not in (None, self.init):
                words = self.machine.run(BOOTED).stdout.split()
                up = len(words) == 2 and words[1] in UP
                if up and (self.greets() or not ssh):
                    self.init, (self.boot_id, self.state) = init, words
                    return self
            time.sleep(0.05)
        text = self.console.read_text(errors="replace")
        last = "\n".join(text.splitlines()[-30:])
        raise SandboxError(f"{self.name} was not up in {timeout_s:.0f} s:\n{last}")

    def greets(self, port: int = 22) -> bool:
        """Whether something says who it is on a port, as sshd does."""
        try:
            with socket.create_connection((self.address, port), 1) as connection:
                return bool(connection.recv(4))
        except OSError:
            return False

    def run(
        self,
        command: str,
        check: bool = True,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        timeout_s: float = 600,
    ) -> Done:
        """A shell line run as root in the host; works with sshd stopped or shut out."""
        done = self.machine.run(command, stdin, env, timeout_s)
        return told(done, self.name, command, check)

    def ssh(
        self, user: str, key: Path, command: str, check: bool = True, stdin: str = ""
    ) -> Done:
        """A shell line run by a person, through the network and sshd; 255: no way in."""
        argv = self.ssh_argv(user, key, command)
        return run(*argv, check=check, stdin=stdin)

    def ssh_argv(self, user: str, key: Path, *command: str) -> list[str]:
        return [*SSH, "-i", str(key), f"{user}@{self.address}", *command]

    def reboot(self, command: str = "systemctl reboot", ssh: bool = True) -> Host:
        """The host has gone down and come up again."""
        self.run(command, check=False)
        return self.wait(ssh)

    def poweroff(self) -> None:
        """The host has shut down in good order; its files are still there."""
        self.run("systemctl poweroff", check=False)
        self.machine.ended(timeout_s=PATIENCE_S)

    def unplug(self) -> None:
        """The host has lost its network, as when a cable is out."""
        self.lab.ip("link", "set", f"vb-{self.id}", "down")

    def plug(self) -> None:
        self.lab.ip("link", "set", f"vb-{self.id}", "up")

    def snapshot(self, layer: Layer) -> None:
        """What this host changed, as a layer for others; the host itself is used up."""
        self.poweroff()
        identity.take_away(self.root)
        self.machine.kill()
        self.overlay.unmount()
        self.overlay.keep_packages(self.tree.archives)
        self.overlay.save(layer)
        self.destroy()

    def destroy(self) -> None:
        """Nothing of the host is left but the packages it fetched."""
        self.machine.kill()
        self.overlay.unmount()
        self.overlay.keep_packages(self.tree.archives)
        self.overlay.remove()
