#!/usr/bin/python3
"""How long until a bare machine has finished its first job, and until a reboot is over.

Each part by itself, next to what the same machine needs for the same work without us: docker
installed by hand, the image pulled by hand, and a reboot of a host without any of it.

sudo benchmarks/jobs.py [test]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Callable


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sandbox import managed, work  # noqa: E402
from sandbox.host import Host  # noqa: E402
from sandbox.images import JOB_RUNNER  # noqa: E402
from sandbox.outside import DOCKER_PROXY  # noqa: E402
from sandbox.sandbox import Sandbox  # noqa: E402


INSTALL = (
    "apt-get -qq update && DEBIAN_FRONTEND=noninteractive "
    "apt-get -qq install -y --no-install-recommends docker.io python3 nftables acl"
)
NAMES = "cat /srv/backend-server/{}/hosts >> /etc/hosts"
REBOOTS = 3


def took(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def show(title: str, seconds: float) -> None:
    print(f"{title:<48} {seconds:6.1f} s", flush=True)


def by_hand(sandbox: Sandbox, backend: str) -> None:
    """The floor: what any way to a first job has to fetch and unpack."""
    host = sandbox.bare(legacy_cgroups=True)
    host.run(NAMES.format(backend))
    show("by hand: reboot of a bare host", took(host.reboot))
    packages = took(lambda: host.run(INSTALL))
    image = f"{DOCKER_PROXY}/{JOB_RUNNER}@{sandbox.images.digest(JOB_RUNNER)}"
    pull = took(lambda: host.run(f"docker pull --quiet {image}"))
    show("by hand: docker and what the tool needs", packages)
    show("by hand: pulling the job-runner", pull)
    sandbox.destroy(host)


def first_job(sandbox: Sandbox, backend: str) -> Host:
    """A host as `sandbox.sh` makes it, with the parts of the way to its first job."""
    controller = sandbox.outside.controller
    began = time.monotonic()
    boot = time.time()
    host = sandbox.bare(legacy_cgroups=True)
    up = time.time()
    show("bare host up", up - boot)
    show(f"{backend}/manage.sh", took(lambda: managed.manage(host, backend)))
    polled = controller.wait_poll(up, host.address)
    show("first poll after the host was up", polled - up)
    job = work.add(controller, backend)
    show(
        "the job, from asked for to finalized", took(lambda: controller.wait(job.task))
    )
    show("bare machine to first finished job", time.monotonic() - began)
    return host


def reboots(sandbox: Sandbox, host: Host) -> None:
    """From `systemctl reboot` until the agent asks for work, and how far that is from up."""
    controller = sandbox.outside.controller
    for _ in range(REBOOTS):
        began = time.time()
        up = took(host.reboot)
        # What was asked on the way down does not count.
        booted = time.time() - float(host.run(SINCE_INIT).stdout)
        polled = controller.wait_poll(booted, host.address, timeout_s=120)
        show("reboot: until it is up", up)
        show("reboot: until the agent asks for work", polled - began)


# Seconds since this host's own init started; its uptime is this machine's.
SINCE_INIT = "ps -o etimes= -p 1"


def main() -> None:
    backend = sys.argv[1] if len(sys.argv) > 1 else "test"
    with Sandbox() as sandbox:
        sandbox.tree()
        by_hand(sandbox, backend)
        reboots(sandbox, first_job(sandbox, backend))


if __name__ == "__main__":
    main()
