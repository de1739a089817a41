"""The running side of a host: systemd-nspawn, process 1, and entering it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Mapping, Sequence

from sandbox import cgroups
from sandbox.command import Done, run
from sandbox.network import Lab


PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CLEAN = ("env", "-i", f"PATH={PATH}", "HOME=/root", "LANG=C.UTF-8", "USER=root")
# Never --capability=all: it has CAP_SYS_TIME, and there is one clock for all machines.
# The first two system calls are what dockerd starts containers with. A screen lock keeps its
# password in memory that is never swapped; on a server everybody may do that, within a limit.
NSPAWN = (
    *("systemd-nspawn", "--quiet", "--boot", "--settings=no"),
    *("--network-bridge=br0", "--resolv-conf=off", "--timezone=off"),
    *("--link-journal=no", "--console=read-only"),
    "--system-call-filter=@keyring bpf @memlock",
)


# nsenter's own fork stops itself when its child is stopped, as all are when a host goes
# down; then nobody reaps the child, and the host waits for it for ever.
FORK = '"$@"; exit $?'


class Machine:
    """A container with an init. It is found by name, so another process can end it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.process: subprocess.Popen[bytes] | None = None

    def start(
        self, lab: Lab, console: Path, options: Sequence[str], legacy: bool
    ) -> None:
        """Init has been started; whether it gets anywhere is for others to wait for."""
        groups = " ".join(map(str, cgroups.make(self.name)))
        flags = [f"--machine={self.name}", *cgroups.boot_flags()]
        argv = lab.inside(*NSPAWN, *flags, *options)
        with console.open("ab") as log:
            self.process = subprocess.Popen(
                ["bash", "-c", cgroups.START, "sandbox", groups, *argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": PATH, **cgroups.layout(legacy)},
                pass_fds=lab.held,
                # A Ctrl-C at the terminal is for us, who then end the host.
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        """Whether it is running or on its way up or down."""
        return self.process is not None and self.process.poll() is None

    def init(self) -> int | None:
        """Process 1 as this machine calls it, None while there is none."""
        return cgroups.leader(self.name)

    def enter(self, *argv: object, env: Mapping[str, str] | None = None) -> list[str]:
        """An argv that runs a program as root in the host, as a child of its init.

        It joins init's control groups, so what it leaves behind ends with the host.
        """
        init = self.init()
        groups = " ".join(map(str, cgroups.groups_of(init))) if init else ""
        settings = (f"{name}={value}" for name, value in (env or {}).items())
        return [
            *("bash", "-c", cgroups.ENTER, "sandbox", groups),
            *("nsenter", "--target", str(init or "none"), "--all", "--no-fork"),
            *("bash", "-c", FORK, "sandbox", *CLEAN, *settings, *map(str, argv)),
        ]

    def run(
        self,
        command: str,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        timeout_s: float = 60,
    ) -> Done:
        """A shell line run as root in the host; fails too while there is no init."""
        argv = self.enter("bash", "-c", command, env=env)
        return run(*argv, check=False, stdin=stdin, timeout_s=timeout_s)

    def ended(self, timeout_s: float) -> None:
        """Waits until it has shut down by itself."""
        if self.process:
            self.process.wait(timeout_s)

    def kill(self) -> None:
        """Nothing of it runs any more, at once."""
        cgroups.kill(self.name)
        if self.process:
            self.process.wait(30)
