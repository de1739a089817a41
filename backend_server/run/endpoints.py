"""Whether the outside world that a backend needs answers."""

from __future__ import annotations

import socket
import threading
import time
from typing import Iterable, Mapping


def unanswered(
    endpoints: Iterable[str], pinned: Mapping[str, str], deadline_s: float = 3.0
) -> list[str]:
    """A sentence for each NAME:PORT that does not accept a connection in time.

    All are tried at once, at the address the backend pins for the name, so that the answer
    is right before the hosts file is. A name server that hangs does not hold this up.
    """
    answers: dict[str, str] = {}
    threads = []
    for endpoint in endpoints:
        name, _, port = endpoint.rpartition(":")
        args = (endpoint, pinned.get(name, name), int(port), deadline_s, answers)
        threads.append(threading.Thread(target=_try, args=args, daemon=True))
        answers[endpoint] = f"no answer in {deadline_s:g} s"
        threads[-1].start()
    end = time.monotonic() + deadline_s + 0.2
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return [
        f"{_place(endpoint, pinned)} does not answer: {why}"
        for endpoint, why in dict(answers).items()
        if why
    ]


def _try(
    endpoint: str, address: str, port: int, deadline_s: float, answers: dict[str, str]
) -> None:
    try:
        socket.create_connection((address, port), timeout=deadline_s).close()
        answers[endpoint] = ""
    except socket.timeout:
        pass  # what stands there already says so
    except OSError as error:
        answers[endpoint] = error.strerror or str(error)


def _place(endpoint: str, pinned: Mapping[str, str]) -> str:
    name, _, port = endpoint.rpartition(":")
    return f"{name} ({pinned.get(name, 'no pinned address')}) port {port}"
