"""The docker daemon, asked over its own socket: starting docker(1) would take longer than a run.

Only what `docker inspect` would ask; see the Engine API, whose newest version answers where none
is named.
"""

from __future__ import annotations

import contextlib
import json
import socket
from typing import Any, Mapping


SOCKET = "/run/docker.sock"


def inspect(name: str) -> Mapping[str, Any]:
    """What docker knows of a container, network or NAME@DIGEST of an image; {} where nothing."""
    kinds = ("images",) if "@" in name else ("containers", "networks")
    for kind in kinds:
        with contextlib.suppress(OSError):  # no daemon, or it went away
            found = _get(f"/{kind}/{name}" + ("" if kind == "networks" else "/json"))
            if found:
                return found
    return {}


def containers() -> list[Mapping[str, Any]] | None:
    """What docker knows of each container, running or not; None where it does not answer."""
    listed = tell("/containers/json?all=1")
    if listed is None:
        return None
    found = (_get(f"/containers/{each['Id']}/json") for each in listed)
    return [each for each in found if each]  # one may have gone meanwhile


def tell(path: str) -> Any:
    """What is at a path of the API; None where it does not answer, or says no."""
    with contextlib.suppress(OSError, ValueError):
        found = _get(path)
        return None if found == {} else found
    return None


def _get(path: str) -> Mapping[str, Any]:
    """The object at a path of the API; {} where it says that there is none.

    By HTTP 1.0, whose answers are whole when the connection ends.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(SOCKET)
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    if head.split()[1:2] != [b"200"]:
        return {}
    found: Mapping[str, Any] = json.loads(body)
    return found
