"""A guest of Hyper-V: its kernel, and what tells the Windows host about it."""

from __future__ import annotations

from typing import Iterator

from backend_server.checkout.gather import Site
from backend_server.engine.resource import Resource
from backend_server.resources import File, Packages


HOSTS_SERVICES = (
    "/dev/vmbus"  # a folder with a device for each service of the Windows host
)

# Debian 11 has no such rule. Others' own has it from the boot on and takes it away at
# `udevadm trigger`, which packages call; without it chronyd does not start again.
_RULE = """\
# Written by backend-server. The host's clock has this name, whatever other clocks there are.
SUBSYSTEM=="ptp", ATTR{clock_name}=="hyperv", SYMLINK+="ptp_hyperv"
"""


def hyperv(site: Site) -> Iterator[Resource]:
    """The kernel runs, and the host's clock has its name, from the next boot on.

    The packages' own units start the daemons where the host offers each service, and
    only then: without its device a daemon rests, and that is no failure.
    """
    yield Packages("hyperv", frozenset(site.release.hyperv))
    yield File("/etc/udev/rules.d/60-opensafely-clock.rules", _RULE)
