"""The window on Airlock in somebody's session, and the page at the other end of it."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path
from typing import Iterator

from sandbox.host import Host
from tests.hosts.airlock.page import ASKED, CANARY
from tests.hosts.desktop.desktops import in_session
from tests.hosts.desktop.remote import Client
from tests.hosts.programs import wait_until


NAME = "emis.backends.opensafely.org"
SOCKET = "/run/opensafely-airlock.socket"
FOLDER = "/etc/opensafely/airlock"
PROGRAM = "/etc/xdg/opensafely/airlock/window"
LOG = "/tmp/window.log"  # of the session
CURL = "curl --silent --insecure --max-time 5"
HERE = Path(__file__).parent
NO_NAMESPACES, ONE_NAMESPACE = (
    ("/usr/bin/python3", "/opt/no_namespaces.py"),
    (
        *("/usr/bin/python3", "/opt/no_namespaces.py"),
        "--but-by-unshare",
    ),
)
SENTENCES = {
    "certificate": "shows another certificate",
    "nobody": "does not answer",
    "socket": "cannot be reached",
}
OUTPUT = "/srv/medium_privacy/workspaces/page.html"
DOWNLOAD = ("110", "240")  # the link on the page
ICONS = ("85", "200", "85")


def serve(host: Host) -> None:
    """A page that stands for Airlock's, with the host's own certificate."""
    for name in ("page.py", "no_namespaces.py"):
        host.write(f"/opt/{name}", (HERE / name).read_text())
    _serve(host, FOLDER)


def _serve(host: Host, folder: str) -> None:
    pair = f"{folder}/tls.crt {folder}/tls.key"
    host.run(
        f"systemctl stop page; systemd-run --unit=page python3 /opt/page.py {pair}"
    )
    wait_until(lambda: ":443 " in host.run("ss -Hltn").stdout)


def asked(host: Host) -> str:
    """A line for each request: its path, the name and the cookie."""
    return host.run(f"cat {ASKED}", check=False).stdout


def kept(host: Host) -> str:
    """The files of the host that have what a page showed."""
    places = "/home /srv/medium_privacy /srv/high_privacy /tmp /var /run/user /dev/shm"
    words = f"grep -rlsF {CANARY} {places} --exclude-dir=journal --exclude-dir=docker"
    found = host.run(words, check=False).stdout.splitlines(keepends=True)
    return "".join(path for path in found if not path.startswith(OUTPUT))


@contextlib.contextmanager
def older_engine(host: Host) -> Iterator[None]:
    """Meanwhile there is PyQt5 and not PyQt6."""
    install = "apt-get -qq -y --no-install-recommends install python3-pyqt5.qtwebengine"
    host.run(f"DEBIAN_FRONTEND=noninteractive {install}")
    place = "/usr/lib/python3/dist-packages/PyQt6"
    host.run(f"mv {place} /root/PyQt6")
    try:
        yield
    finally:
        host.run(f"mv /root/PyQt6 {place}")


@contextlib.contextmanager
def wrong(host: Host, how: str) -> Iterator[None]:
    """Meanwhile it is not Airlock that answers, or nobody does."""
    if how == "certificate":
        host.run(
            "mkdir -p /root/other; cd /root/other; openssl req -x509 -nodes -newkey rsa:2048 "
            f"-subj /CN={NAME} -addext subjectAltName=DNS:{NAME} -keyout tls.key -out tls.crt"
        )
        _serve(host, "/root/other")
    else:
        unit = "page" if how == "nobody" else "opensafely-airlock-window.socket"
        host.run(f"systemctl stop {unit} opensafely-airlock-window.service")
    try:
        yield
    finally:
        _serve(host, FOLDER)
        host.run("systemctl start opensafely-airlock-window.socket")


class Window:
    """One at a time, in the session that a client looks at."""

    def __init__(self, host: Host, client: Client, whose: str = "gus") -> None:
        self.host, self.client, self.whose = host, client, whose
        host.run(f"rm -f {ASKED}")

    def open(self, *words: str, before: tuple[str, ...] = ()) -> None:
        line = shlex.join([*before, PROGRAM, *words])
        start = f"rm -f {LOG}; setsid --fork {line} >{LOG} 2>&1 </dev/null"
        self.host.run(self._in_session(start))

    def open_from_desktop(self) -> None:
        """By its icon: the first, or below the workspaces' where that was drawn before."""
        link = "test -L /home/gus/Desktop/opensafely-airlock.desktop"
        wait_until(lambda: self.host.run(link, check=False).returncode == 0, 60)
        for height in ICONS:
            wait_until(self.client.still, 60)
            twice = ("click", "--repeat", "2", "--delay", "80", "1")
            self.client.do("mousemove", "70", height, *twice)
            with contextlib.suppress(AssertionError):
                wait_until(self._pids, 15)
                return

    def open_file(self, name: str) -> None:
        """By the file manager, which has the folder open."""
        self.client.type(name)
        wait_until(self.client.still, 30)
        self.client.do("key", "Return")

    def said(self) -> str:
        return self.host.run(self._in_session(f"cat {LOG}"), check=False).stdout

    def _in_session(self, command: str) -> str:
        return in_session(self.host, command, self.whose, self.whose)

    def _pids(self, which: str = PROGRAM) -> list[str]:
        found = self.host.run(f"pgrep -u {self.whose} -f '{which}'", check=False)
        return found.stdout.split()

    def inside(self, command: str) -> str:
        """What root is told in the network of the window."""
        argv = f"nsenter -t {self._pids()[0]} -n -- {command}"
        return self.host.run(argv, check=False).stdout

    def drawn_apart(self) -> bool:
        """Whether the processes that draw have namespaces of their own, and a filter of calls."""
        first, filtered = self._pids()[0], False
        for pid in self._pids("type=zygote.--app"):
            for kind in ("net", "pid", "user"):
                same = f"[ /proc/{pid}/ns/{kind} -ef /proc/{first}/ns/{kind} ]"
                if self.host.run(same, check=False).returncode == 0:
                    return False
            filtered |= "Seccomp:\t2" in self.host.run(f"cat /proc/{pid}/status").stdout
        return filtered

    def titles(self) -> list[str]:
        """Of all windows in the session."""
        self.host.write("/opt/titles.py", (HERE / "titles.py").read_text())
        line = self._in_session("python3 /opt/titles.py")
        return self.host.run(line).stdout.splitlines()

    def close(self) -> None:
        self.host.run(f"pkill -u {self.whose} -f {PROGRAM}", check=False)
        wait_until(
            lambda: not self._pids("QtWebEngine|airlock/window|socket-proxyd"), 30
        )
        wait_until(self.client.still, 30)
