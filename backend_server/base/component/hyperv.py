"""A guest of Hyper-V: its kernel, and what tells the Windows host about it."""

from __future__ import annotations

from typing import Iterator

from backend_server.base.verbatim import verbatim
from backend_server.checkout.gather import Site
from backend_server.engine.resource import Resource
from backend_server.resources import Packages


# A folder with a device for each service of the Windows host.
HOSTS_SERVICES = "/dev/vmbus"


def hyperv(site: Site) -> Iterator[Resource]:
    """The kernel runs, and the host's clock has its name, from the next boot on.

    The packages' own units start the daemons where the host offers each service, and
    only then: without its device a daemon rests, and that is no failure.
    """
    yield Packages("hyperv", frozenset(site.release.hyperv))
    # Debian 11 has no such rule. Others' own has it from the boot on and takes it away at
    # `udevadm trigger`, which packages call; without it chronyd does not start again.
    yield verbatim(site, "/etc/udev/rules.d/60-opensafely-clock.rules")
