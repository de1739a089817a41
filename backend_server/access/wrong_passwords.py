"""Who may try no password for a while, after many wrong ones; others can have typed them."""

from __future__ import annotations

from datetime import datetime, timedelta

from backend_server.access.pam_profiles import SHUT_S, TRIES
from backend_server.host import HostReader


def locked(host: HostReader) -> list[str]:
    """Nobody is asked about where no wrong one was typed since the boot."""
    counted = host.names("/run/faillock")
    return shut_out(host.wrong_passwords(), datetime.now()) if counted else []


def shut_out(said: str, now: datetime) -> list[str]:
    """Names, of what faillock(8) says of everybody: enough wrong ones, and the last not long ago."""
    since, times = f"{now - timedelta(seconds=SHUT_S):%Y-%m-%d %H:%M:%S}", [""]
    wrong: dict[str, list[str]] = {}
    for line in said.splitlines():
        if line.endswith(":"):
            times = wrong.setdefault(line[:-1], [])
        elif line.endswith(" V"):
            times.append(line[: len(since)])
    return sorted(n for n, t in wrong.items() if len(t) >= TRIES and max(t) > since)
