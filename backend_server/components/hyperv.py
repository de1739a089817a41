"""A guest of Hyper-V: its kernel, and what tells the Windows host about it."""

from __future__ import annotations

from typing import Iterator

from backend_server.gather import Site
from backend_server.resource import Resource
from backend_server.resources import Packages


HOSTS_SERVICES = (
    "/dev/vmbus"  # a folder with a device for each service of the Windows host
)


def hyperv(site: Site) -> Iterator[Resource]:
    """The kernel runs from the next boot on.

    The packages' own units start the daemons where the host offers each service, and
    only then: without its device a daemon rests, and that is no failure.
    """
    yield Packages("hyperv", frozenset(site.release.hyperv))
