"""Containers that are there to be looked at, and what can be reached from where they are."""

from __future__ import annotations

import contextlib
import json
import subprocess
from pathlib import Path
from typing import Iterator, Sequence

from sandbox.host import Host
from sandbox.network import Lab
from tests.hosts.programs import wait_until


REACH = Path(__file__).with_name("reach.py")
IMAGE = "canary"
# Of the host's own files, what a shell takes: no image has to come from anywhere.
MAKE_IMAGE = f"""
files=$(ldd /bin/bash /bin/sleep | grep -o '/[^ :]*' | sort -u)
tar -chC / $(printf '%s\\n' /bin/bash /bin/sleep $files | sort -u | cut -c2-) |
    docker import --change 'CMD ["/bin/sleep", "infinity"]' - {IMAGE} >/dev/null
"""
LISTEN = """
import socket, sys, threading
places = [place.rsplit(":", 1) for place in sys.argv[1:]]
families = {True: socket.AF_INET6, False: socket.AF_INET}
servers = [socket.create_server((a, int(p)), family=families[":" in a], backlog=100)
           for a, p in places]
print("listening", flush=True)
def serve(server):
    while True: server.accept()[0].close()
for server in servers: threading.Thread(target=serve, args=(server,)).start()
"""


def make_image(host: Host) -> None:
    host.run(f"docker image inspect {IMAGE} >/dev/null 2>&1 || {{ {MAKE_IMAGE} }}")


def start(host: Host, name: str, options: str = "", command: str = "") -> str:
    """A container runs; its process as the host counts."""
    host.run(f"docker rm -f {name} 2>/dev/null || true")
    host.run(f"docker run -d --init --name {name} {options} {IMAGE} {command}")
    return pid(host, name)


def pid(host: Host, name: str) -> str:
    return inspect(host, name)["State"]["Pid"]


def address(host: Host, name: str) -> str:
    (network,) = inspect(host, name)["NetworkSettings"]["Networks"].values()
    return network["IPAddress"]


def inspect(host: Host, name: str) -> dict:
    (found,) = json.loads(host.run(f"docker inspect {name}").stdout)
    return found


def reaches(host: Host, places: Sequence[str], name: str = "") -> set[str]:
    """Those of these places that answer a container, or, without a name, the host itself."""
    net = f"nsenter --net --target {pid(host, name)} " if name else ""
    words = " ".join(places)
    done = host.run(f"{net}python3 -I -S - {words}", stdin=REACH.read_text())
    return set(done.stdout.split())


@contextlib.contextmanager
def listening(prefix: Sequence[object], *places: str) -> Iterator[None]:
    """Somebody accepts connections at these places, somewhere else than here."""
    argv = [*map(str, prefix), "python3", "-I", "-S", "-c", LISTEN, *places]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"listening\n"
            yield
        finally:
            process.kill()


@contextlib.contextmanager
def listening_in_lab(lab: Lab, *places: str) -> Iterator[None]:
    with listening(lab.inside("env", "-i", "PATH=/usr/bin:/bin"), *places):
        yield


@contextlib.contextmanager
def listening_on(host: Host, *places: str, container: str = "") -> Iterator[None]:
    """In the host, or in the network of one of its containers."""
    net = ("nsenter", "--net", "--target", pid(host, container)) if container else ()
    with listening(host.machine.enter(*net), *places):
        try:
            yield
        finally:  # what is entered does not die with us
            ports = "|".join(place.rpartition(":")[2] for place in places)
            host.run(f"pkill -f 'servers = .*({ports})' || true", check=False)


def settled(host: Host) -> None:
    """Docker answers."""
    wait_until(lambda: not host.run("docker ps", check=False).returncode)
