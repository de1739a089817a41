"""A Windows server's share, played by Samba in a lab: it can be stopped, frozen, filled, shut."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import Callable, Iterator

from sandbox import packages
from sandbox.command import run
from sandbox.errors import SandboxError
from sandbox.network import Lab


ACCOUNT = "opensafely"
PASSWORD = "correct horse battery staple"
PROGRAMS = {"smbd": "samba", "smbclient": "smbclient"}
_HOLDER = "daemon"  # an account of this machine that the share's own is mapped to
_PORT = 14450  # what stands at the usual one only accepts connections
_PATIENCE_S = 30
_SIZE, _LITTLE = "1G", 256 << 10

_SETTINGS = """\
[global]
    server role = standalone server
    smb ports = {port}
    interfaces = {address}/32 127.0.0.1/8
    bind interfaces only = yes
    disable netbios = yes
    server min protocol = SMB3_11
    server smb encrypt = required
    map to guest = never
    username map = {folder}/users
    load printers = no
    passdb backend = tdbsam:{folder}/passdb.tdb
    private dir = {folder}
    lock directory = {folder}
    state directory = {folder}
    cache directory = {folder}
    pid directory = {folder}
    ncalrpc dir = {folder}/ncalrpc
    log file = {folder}/log
    max log size = 1000
[{name}]
    path = {top}
    valid users = {holder}
    read only = no
    force user = root
"""
# Who connects to the address that the backend pins gets to this server.
_RULES = """\
table ip share {{
    chain arriving {{
        type nat hook prerouting priority dstnat
        ip daddr {address} tcp dport 445 dnat to {address}:{port}
    }}
}}
"""


class Share:
    """Samba that takes nothing but SMB 3.1.1, encrypted; what is on it lies in `top`."""

    def __init__(self, lab: Lab, address: str, name: str) -> None:
        packages.ensure(PROGRAMS)
        self.lab, self.address, self.name = lab, address, name
        self.folder = lab.runtime / "share"
        self.top = self.folder / "top"
        self.settings = self.folder / "smb.conf"
        self.process: subprocess.Popen[bytes] | None = None
        self.top.mkdir(parents=True)
        run(
            "mount",
            "-t",
            "tmpfs",
            "-o",
            f"size={_SIZE},mode=777",
            f"{lab.name}share",
            self.top,
        )
        (self.folder / "users").write_text(f"{_HOLDER} = {ACCOUNT}\n")
        self.settings.write_text(
            _SETTINGS.format(
                port=_PORT,
                address=address,
                folder=self.folder,
                name=name,
                top=self.top,
                holder=_HOLDER,
            )
        )
        lab.nft(_RULES.format(address=address, port=_PORT))
        self.password(PASSWORD)
        self.start()

    def start(self) -> None:
        argv = ("smbd", "--foreground", "--no-process-group", "-s", self.settings)
        self.process = subprocess.Popen(
            self.lab.inside(*argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._wait(lambda: not self._client("ls").returncode, "Samba does not answer")

    def stop(self) -> None:
        """As a server that is switched off: whoever asks is told that nobody is there."""
        self._signal(signal.SIGKILL)
        if self.process:
            self.process.wait()
        self.process = None

    def freeze(self) -> None:
        """It is there, and says nothing any more."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """There is room for a few blocks more than what is on it."""
        found = os.statvfs(self.top)
        used = (found.f_blocks - found.f_bfree) * found.f_frsize
        self._remount(f"size={used + _LITTLE}")
        try:
            yield
        finally:
            self._remount(f"size={_SIZE}")

    def _remount(self, option: str) -> None:
        run("mount", "-o", f"remount,{option}", self.top)

    @contextlib.contextmanager
    def read_only(self) -> Iterator[None]:
        self._remount("ro")
        try:
            yield
        finally:
            self._remount("rw")

    def password(self, password: str) -> None:
        """The account has this one from now on; who is connected stays so."""
        argv = ("smbpasswd", "-c", self.settings, "-a", "-s", _HOLDER)
        run(*self.lab.inside(*argv), stdin=f"{password}\n{password}\n")

    @contextlib.contextmanager
    def held(self, path: str) -> Iterator[None]:
        """Somebody on the Windows side has the file open, as a program does that shows it.

        Windows lets nobody replace it then; Samba would, but not what is mounted.
        """
        run("mount", "--bind", self.top / path, self.top / path)
        try:
            yield
        finally:
            run("umount", self.top / path)

    def connections(self) -> str:
        """Who is connected, by which protocol and encryption."""
        argv = ("smbstatus", "-s", self.settings, "--processes")
        return run(*self.lab.inside(*argv)).stdout

    def close(self) -> None:
        """Nothing of it is left; what was on it is gone."""
        self.thaw()
        self.stop()
        run("umount", "--lazy", self.top)
        self.lab.nft("delete table ip share\n")
        run("rm", "-rf", "--one-file-system", self.folder)

    def _wait(self, question: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not question():
            if time.monotonic() > deadline:
                raise SandboxError(f"{otherwise}: see {self.folder}/log")
            time.sleep(0.2)

    def _client(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._argv(), "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def _argv(self) -> list[str]:
        login = self.folder / "login"
        login.write_text(f"username={ACCOUNT}\npassword={PASSWORD}\n")
        where = (f"//{self.address}/{self.name}", "-p", str(_PORT), "-A", str(login))
        return self.lab.inside("smbclient", *where, "-s", self.settings, "-m", "SMB3")

    def _signal(self, number: int) -> None:
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def __enter__(self) -> Share:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
