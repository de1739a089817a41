"""What the tests ask about services: the container as docker and as the kernel sees it."""

from __future__ import annotations

import json
import time
from typing import Any

from sandbox.host import Host
from sandbox.outside import Outside
from tests.hosts.managing import manage
from tests.hosts.programs import wait_until


UNIT = "opensafely-jobrunner.service"
NAME = "jobrunner"
SECRETS = "/etc/opensafely/env/02_secrets.env"
LOCAL = "/etc/opensafely/env/04_local.env"
_QUICK = "[Service]\nRestartSec=1\n"


def starts_anew_quickly(host: Host) -> None:
    """Its agent does after a second, and not after five."""
    folder = f"/run/systemd/system/{UNIT}.d"
    host.run(f"mkdir -p {folder}; cat > {folder}/x.conf", stdin=_QUICK)
    host.run("systemctl daemon-reload")


def inspected(host: Host) -> Any:
    """Its container, which a restart has not made yet when systemd is through with it."""
    show = f"docker inspect {NAME}"
    wait_until(lambda: host.run(show, check=False).returncode == 0)
    return json.loads(host.run(f"docker inspect {NAME}").stdout)[0]


def digest(host: Host) -> str:
    """What the container that runs now was made from."""
    return inspected(host)["Config"]["Image"].partition("@")[2]


def environ(host: Host) -> dict[str, str]:
    """What the container was started with, of its first process.

    An agent that errs ends between two looks.
    """
    for _ in range(20):
        first = inspected(host)["State"]["Pid"]
        text = host.run(f"cat /proc/{first}/environ", check=False).stdout
        if first and text:
            break
        time.sleep(0.5)
    pairs = (each.partition("=") for each in text.split("\0") if each)
    return {name: value for name, _, value in pairs}


def inside(host: Host, command: str) -> str:
    """What a shell line says in the container; it may fail."""
    argv = f"docker exec -i {NAME} bash"
    return host.run(argv, stdin=command, check=False).stdout


def polls_again(host: Host, outside: Outside, timeout_s: float = 60) -> float:
    """Seconds until the controller hears of this host's agent, from now on."""
    began = time.time()
    return outside.controller.wait_poll(began, host.address, timeout_s) - began


def listed(host: Host) -> dict[str, Any]:
    """The job-runner in `service list --json`, and what is degraded."""
    found = json.loads(manage(host, "service list --json").stdout)
    return {**found["services"][0], "degraded": found["degraded"]}


def started(host: Host) -> str:
    """Another one after each start of the container."""
    return inspected(host)["State"]["StartedAt"]
