"""The time, where no time server can be reached: from the Windows host below."""

from __future__ import annotations

from typing import Iterator

from backend_server.gather import Site
from backend_server.resource import Resource
from backend_server.resources import File, NoPackages, Packages, Unit


HOSTS_CLOCK = "/dev/ptp_hyperv"

# The whole of it, so that the distribution's pools are gone, and those that 26.04 has in a
# file of its own: from here none answers, and chronyd would ask for ever.
# poll: every 8 s; dpoll: each from readings 0.25 s apart. makestep: a guest that was paused
# for a backup would take days to slew back.
_CONF = f"""\
# Written by backend-server. The host's clock, and no time server.
refclock PHC {HOSTS_CLOCK} poll 3 dpoll -2 offset 0 stratum 2
driftfile /var/lib/chrony/chrony.drift
maxupdateskew 100.0
makestep 1 -1
rtcsync
# Nobody asks this host for the time, and chronyc has its socket.
port 0
cmdport 0
"""


def clock(site: Site) -> Iterator[Resource]:
    """chronyd follows the host's clock, and nothing else sets the time."""
    yield NoPackages("systemd-timesyncd", frozenset({"systemd-timesyncd"}))
    yield Packages("chrony", frozenset({"chrony"}))
    yield File("/etc/chrony/chrony.conf", _CONF, notify=("chrony.service",))
    yield Unit("chrony.service")
