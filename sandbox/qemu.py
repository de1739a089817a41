"""The running side of a guest: QEMU, and its monitor."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any, Sequence

from sandbox.errors import SandboxError
from sandbox.machine import PATH
from sandbox.network import Lab


MEMORY_MIB = 2048
# The guest's root is a disk without a partition table: no boot loader, no firmware.
KERNEL_COMMAND_LINE = "root=/dev/vda rw console=ttyS0 net.ifnames=0"
MACHINE = (
    *("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-smp", "2"),
    *("-m", str(MEMORY_MIB), "-display", "none", "-nodefaults"),
    *("-device", "virtio-rng-pci", "-device", "virtio-serial"),
)
AGENT_PORT = "org.qemu.guest_agent.0"


class Qemu:
    """A computer with a kernel of its own, emulated: no KVM is needed.

    It runs in the lab's network, and ends with it.
    """

    def __init__(self, lab: Lab, name: str) -> None:
        self.lab, self.name = lab, name
        self.monitor = lab.runtime / f"{name}.monitor"
        self.agent = lab.runtime / f"{name}.agent"
        self.process: subprocess.Popen[bytes] | None = None

    def start(
        self,
        boot: tuple[Path, Path],
        disks: Sequence[Path],
        link: str,
        console: Path,
        snapshot: str = "",
    ) -> None:
        """It is switched on, or goes on where the snapshot was taken."""
        kernel, initrd = boot
        argv = (
            *(*MACHINE, "-name", self.name),
            *("-kernel", kernel, "-initrd", initrd, "-append", KERNEL_COMMAND_LINE),
            *(word for disk in disks for word in ("-drive", drive(disk))),
            *("-netdev", f"tap,id=lab,ifname={link},script=no,downscript=no"),
            *("-device", "virtio-net-pci,netdev=lab"),
            *("-chardev", f"socket,id=agent,path={self.agent},server=on,wait=off"),
            *("-device", f"virtserialport,chardev=agent,name={AGENT_PORT}"),
            *("-chardev", f"file,id=console,path={console},append=on"),
            *("-serial", "chardev:console"),
            *("-qmp", f"unix:{self.monitor},server=on,wait=off"),
            *(("-loadvm", snapshot) if snapshot else ()),
        )
        with console.open("ab") as log:
            self.process = subprocess.Popen(
                self.lab.inside(*argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": PATH},
                pass_fds=self.lab.held,
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def order(self, line: str, timeout_s: float = 60) -> None:
        """A line of the monitor's own language, as `savevm ready`."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(self.monitor))
            with connection.makefile("rw", encoding="utf-8") as stream:
                stream.readline()  # its greeting
                _ask(stream, "qmp_capabilities", {})
                said = _ask(stream, "human-monitor-command", {"command-line": line})
        if said:
            raise SandboxError(f"{self.name}: {line}: {said}")

    def kill(self) -> None:
        """As when the plug is pulled: what the guest had not yet written is lost."""
        if self.process and self.alive:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)
        if self.process:
            self.process.wait(30)


def drive(disk: Path) -> str:
    kind = "qcow2" if disk.suffix == ".qcow2" else "raw"
    readonly = "off" if kind == "qcow2" else "on"
    return f"file={disk},if=virtio,format={kind},readonly={readonly}"


def _ask(stream: Any, command: str, arguments: dict[str, Any]) -> Any:
    """The answer to a question; what else the monitor says meanwhile is passed over."""
    stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
    stream.flush()
    for line in stream:
        answer = json.loads(line)
        if "error" in answer:
            raise SandboxError(f"{command}: {answer['error']['desc']}")
        if "return" in answer:
            return answer["return"]
    raise SandboxError(f"{command}: the monitor hung up")
