"""A real RDP client at a screen of its own, looking at a host's remote desktop."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
import time
import warnings
from pathlib import Path
from typing import Iterator

from sandbox import packages
from sandbox.host import Host


PROGRAMS = {
    "import": "imagemagick",
    "Xvfb": "xvfb",
    "xclip": "xclip",
    "xdotool": "xdotool",
    "xfreerdp": "freerdp2-x11",
}
WIDTH, HEIGHT = 1280, 860


def ensure_client() -> None:
    """The programs are on this machine."""
    packages.ensure(PROGRAMS)


def screen() -> tuple[subprocess.Popen[bytes], str]:
    """An X server, and the display that it found free: another test may have one too."""
    heard, said = os.pipe()
    size = f"{WIDTH}x{HEIGHT}x24"
    argv = ["Xvfb", "-displayfd", str(said), "-screen", "0", size, "-nolisten", "tcp"]
    process = subprocess.Popen(
        argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=(said,)
    )
    os.close(said)
    with os.fdopen(heard) as stream:
        return process, f":{stream.readline().strip()}"


def wait_for_xrdp(address: str) -> None:
    """Somebody answers there: xrdp counts as started two seconds before it does."""
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection((address, 3389), 5).close()
            return
        except OSError:
            assert time.monotonic() < deadline, f"nobody answers at {address}:3389"
            time.sleep(0.1)


class Client:
    """One run of xfreerdp, as somebody with a password, and what can be done at its screen."""

    def __init__(self, host: Host, user: str, password: str, *options: str) -> None:
        self.screen, self.display = screen()
        self.home = Path(tempfile.mkdtemp(prefix="rdp-"))
        self.log = self.home / "log"
        self.env = {
            "PATH": os.environ["PATH"],
            "DISPLAY": self.display,
            "HOME": str(self.home),
        }
        wait_for_xrdp(host.address)
        who = (f"/v:{host.address}", f"/u:{user}", f"/p:{password}", "/cert:ignore")
        argv = (
            "xfreerdp",
            *who,
            f"/size:{WIDTH}x{HEIGHT}",
            *(options or ("/sec:tls",)),
        )
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                host.lab.inside(*argv),
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def shot(self, path: Path) -> Path:
        subprocess.run(
            ["import", "-window", "root", str(path)], env=self.env, check=True
        )
        return path

    def pixels(self) -> bytes:
        """The screen, three bytes a pixel."""
        argv = ["import", "-window", "root", "-depth", "8", "rgb:-"]
        return subprocess.run(
            argv, env=self.env, check=True, stdout=subprocess.PIPE
        ).stdout

    def shows(self, colour: str) -> bool:
        """Whether a good part of the screen has exactly this colour, as `#C0FFEE`."""
        pixel, found = bytes.fromhex(colour[1:]), self.pixels()
        return found.count(pixel * 64) > 50

    def windows(self) -> bytes:
        """The panel's row of open windows, as it looks."""
        lines = (row * WIDTH * 3 for row in range(34))
        pixels = self.pixels()
        return b"".join(pixels[line + 250 * 3 : line + 1000 * 3] for line in lines)

    def still(self) -> bool:
        """Whether the screen stays the same for a second."""
        before = self.pixels()
        time.sleep(1)
        return before == self.pixels()

    def type(self, text: str) -> None:
        self.do("type", "--delay", "40", text)

    def do(self, *words: str) -> None:
        subprocess.run(["xdotool", *words], env=self.env, check=True, timeout=60)

    def end(self) -> None:
        for process in (self.process, self.screen):
            process.terminate()
            process.wait(10)
        shutil.rmtree(self.home, ignore_errors=True)


@contextlib.contextmanager
def looking(host: Host, user: str, password: str, *options: str) -> Iterator[Client]:
    client = Client(host, user, password, *options)
    try:
        yield client
    finally:
        client.end()


def judged(host: Host, user: str, password: str, *options: str) -> bool:
    """Whether the client got a desktop, as sesman itself says; it says one or the other."""
    since = host.run("date +%s.%N").stdout.strip()
    with looking(host, user, password, *options):
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            log = host.run(
                f"journalctl --no-pager -o cat -t xrdp-sesman --since=@{since}",
                check=False,
            ).stdout
            came = (f"granted): username {user},", f"session: username {user},")
            if any(sentence in log for sentence in came):
                return True
            if f"AUTHFAIL: user={user} " in log or "login denied" in log:
                return False
            time.sleep(0.1)
    raise AssertionError(f"sesman said nothing of {user}:\n{log}")


def let_in(host: Host, user: str, password: str) -> bool:
    """Whether sesman itself lets somebody in: what a client's login comes to, without one.

    A session that it made goes on.
    """
    done = host.run(
        f"xrdp-sesrun -s 127.0.0.1 -F 0 {user}", check=False, stdin=password
    )
    said = done.stdout + done.stderr
    assert ("ok data=1" in said) != ("Connection denied" in said), said
    return "ok data=1" in said


def negotiated(address: str, protocols: int) -> int:
    """The answer to a request for these: 2 agrees, 3 refuses; 0: neither."""
    with _asked(address, protocols) as (answer, _):
        return answer


def speaks_tls(address: str, version: ssl.TLSVersion) -> bool:
    with _asked(address, 1) as (answer, connection), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of old versions
        assert answer == 2
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        try:
            with context.wrap_socket(connection):
                return True
        except (ssl.SSLError, OSError):
            return False


@contextlib.contextmanager
def _asked(address: str, protocols: int) -> Iterator[tuple[int, socket.socket]]:
    asked = b"\xe0\0\0\0\0\0" + struct.pack("<BBHI", 1, 0, 8, protocols)
    length = struct.pack(">H", 5 + len(asked))
    with socket.create_connection((address, 3389), 5) as connection:
        connection.sendall(b"\x03\0" + length + bytes([len(asked)]) + asked)
        answer = connection.recv(64)
        yield (answer[11] if len(answer) > 11 else 0), connection
