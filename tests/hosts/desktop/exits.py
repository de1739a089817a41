"""What a reviewer on the remote desktop tries to get out, and who would see it outside."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Callable, Iterator, Sequence

from sandbox import identity
from sandbox.host import Host
from sandbox.network import INTERNET
from tests.hosts.desktop.desktops import (
    CANARY,
    desktop_is_up,
    in_session,
    session,
)
from tests.hosts.desktop.remote import Client, looking, negotiated
from tests.hosts.managing import edited
from tests.hosts.programs import wait_until


HERE = Path(__file__).parent
SCRIPTS = ("chansrv.py", "carry.py", "neighbour.py", "sockets.py", "sniff.py")
PLACE = "/usr/local/lib/tests"
SESMAN = "/etc/xrdp/sesman.ini"
KINDS = f"{PLACE}/kinds.py"
PYTHON = "/usr/bin/python3 -I -S"
# To reach the clipboard of a session from within; the desktop has no such program.
XCLIP = ("/usr/bin/xclip", "/usr/lib/x86_64-linux-gnu/libXmu.so.6")
ON_A_CLIPBOARD = ("xclip", "-selection", "clipboard")


def bring(host: Host) -> None:
    """The host has what the tests of this file run there."""
    for name in SCRIPTS:
        host.write(f"{PLACE}/{name}", (HERE / name).read_text())
    host.write(KINDS, (HERE.parent / "base/kinds.py").read_text())
    for path in XCLIP:
        shutil.copy(path, host.root / path[1:])


# ---- in the session


@contextlib.contextmanager
def desktop(
    host: Host, password: str, *options: str, whose: str = "gus"
) -> Iterator[Client]:
    with looking(host, whose, password, *options) as client:
        wait_until(lambda: desktop_is_up(host, whose), 60)
        yield client


# ---- channels


def restarted(host: Host) -> None:
    host.run("systemctl restart xrdp")
    wait_until(lambda: answers(host))


def answers(host: Host) -> bool:
    try:
        answer = negotiated(host.address, 1)
    except OSError:
        return False
    return answer == 2


@contextlib.contextmanager
def open_channels(host: Host) -> Iterator[None]:
    """As a package's own configuration has it: everything is let through."""
    given = {path: host.read(path) for path in ("/etc/xrdp/xrdp.ini", SESMAN)}
    host.run(
        "sed -i -E 's/^(rdpdr|rdpsnd|drdynvc|cliprdr)=.*/\\1=true/' /etc/xrdp/xrdp.ini; "
        f"sed -i -E 's/^(Restrict.*Clipboard)=.*/\\1=none/' {SESMAN}"
    )
    restarted(host)
    try:
        yield
    finally:
        for path, text in given.items():
            host.run(f"cat >{path}", stdin=text)
        restarted(host)


def copy(client: Client, text: str) -> None:
    subprocess.run(
        ON_A_CLIPBOARD,
        input=text.encode(),
        env=client.env,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def paste(client: Client) -> str:
    return subprocess.run(
        [*ON_A_CLIPBOARD, "-o"],
        env=client.env,
        check=False,
        timeout=10,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ).stdout.decode()


def copy_inside(host: Host, text: str) -> None:
    words = f"echo -n {text} | {' '.join(ON_A_CLIPBOARD)} >/dev/null 2>&1"
    host.run(in_session(host, words))


def paste_inside(host: Host) -> str:
    words = f"timeout 3 {' '.join(ON_A_CLIPBOARD)} -o"
    return host.run(in_session(host, words), check=False).stdout


@contextlib.contextmanager
def own_channel_server(
    host: Host, password: str, text: str, *options: str
) -> Iterator[tuple[Client, Callable[[], set[str]]]]:
    """The reviewer's own program is where xrdp expects theirs; what it has said so far."""
    with desktop(host, password, *options):
        given = session(host)
    number = given["DISPLAY"].lstrip(":").partition(".")[0]
    log = "/home/gus/chansrv.log"
    place = f"{given['XRDP_SOCKET_PATH']}/xrdp_chansrv_socket_{number}"
    host.run("pkill -u gus -f 'chansr[v]'", check=False)
    serve = f"{PYTHON} {PLACE}/chansrv.py {place} {text} >{log} 2>&1 &"
    host.run(in_session(host, serve))

    def said() -> set[str]:
        return set(host.run(f"cat {log}", check=False).stdout.splitlines())

    wait_until(lambda: "listening" in said())
    with looking(host, "gus", password, *options) as client:
        wait_until(lambda: "xrdp has told of its channels" in said(), 60)
        yield client, said


# ---- who sees it


class Watched:
    """What was seen meanwhile, once it is over."""

    on_host = 0  # frames with the word, on any interface of the host
    outside = 0  # the same in the lab's network, where the internet is
    to_internet = 0  # frames from the host to there, whatever they said
    questions: tuple[
        str, ...
    ] = ()  # with the word, that a name server outside was asked

    def nothing(self) -> bool:
        return not (self.on_host or self.outside or self.to_internet or self.questions)

    def everywhere(self) -> bool:
        return all((self.on_host, self.outside, self.to_internet, self.questions))

    def __repr__(self) -> str:
        return repr(vars(self))


@contextlib.contextmanager
def watched(host: Host, resolv_conf: bool = True) -> Iterator[Watched]:
    """Every wire is read, and a name server outside tells what it is asked.

    The host asks that one, unless it is left with a RESOLV_CONF of its own.
    """
    seen, gateway = Watched(), name_server(host)
    in_lab = host.lab.inside("env", "-i", "PATH=/usr/bin:/bin", *PYTHON.split())
    there = [*PYTHON.split(), f"{PLACE}/sniff.py", CANARY, INTERNET]
    here = [*in_lab, str(HERE / "sniff.py"), CANARY, INTERNET]
    asked = [*in_lab, str(HERE.parent / "questions.py"), gateway]
    text = f"nameserver {gateway}\noptions timeout:1\n"
    with contextlib.ExitStack() as stack:
        if resolv_conf:
            stack.enter_context(edited(host, "/etc/resolv.conf", text))
        programs = (host.machine.enter(*there), here, asked)
        inner, outer, server = (stack.enter_context(_listening(p)) for p in programs)
        yield seen
        server.kill()
        questions = server.communicate()[0].splitlines()
        found, beyond = (json.loads(p.communicate()[0]) for p in (inner, outer))
    seen.on_host, seen.outside = found["word"], beyond["word"]
    seen.to_internet = found["address"]
    seen.questions = tuple(name for name in questions if CANARY in name)


def name_server(host: Host) -> str:
    return identity.addresses(host.lab.number, 1)[0]


@contextlib.contextmanager
def _listening(argv: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A program that has said that it listens; it ends with its input."""
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "listening\n"
            yield process
        finally:
            process.kill()


def carry(host: Host) -> str:
    """The command that tries to carry the word out in every way the kernel has."""
    gateway, gateway6 = identity.addresses(host.lab.number, 1)
    places = f"{INTERNET} {gateway6} {host.address} {gateway}"
    return f"{PYTHON} {PLACE}/carry.py {CANARY} {places}"
