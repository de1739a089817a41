"""The time, where no time server can be reached: from the Windows host below."""

from __future__ import annotations

from typing import Iterator

from backend_server.checkout.gather import Site
from backend_server.engine.resource import Resource
from backend_server.host.reader import HostReader
from backend_server.resources import UNITS, File, NoPackages, Packages, Unit, UnitFile


HOSTS_CLOCK = "/dev/ptp_hyperv"
_CHRONY = "chrony.service"
_CONF_FILE = "/etc/chrony/chrony.conf"

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

# Without the device chronyd ends at once. At boot udev may be later than chronyd, and a host
# may offer its clock again.
_DROP_IN = """\
[Unit]
StartLimitIntervalSec=0

[Service]
Restart=on-failure
RestartSec=30
"""


def clock(site: Site) -> Iterator[Resource]:
    """chronyd follows the host's clock, and nothing else sets the time."""
    yield NoPackages("systemd-timesyncd", frozenset({"systemd-timesyncd"}))
    yield Packages("chrony", frozenset({"chrony"}))
    yield File(_CONF_FILE, _CONF, notify=(_CHRONY,))
    yield UnitFile(f"{UNITS}/{_CHRONY}.d/opensafely-clock.conf", _DROP_IN)
    yield Unit(_CHRONY)


def unset(site: Site, host: HostReader) -> Iterator[str]:
    """A sentence where nothing sets the clock any more, which the host once did."""
    if not site.backend.hyperv or HOSTS_CLOCK not in (host.read(_CONF_FILE) or ""):
        return
    if host.stat(HOSTS_CLOCK) is None:
        yield (
            f"nothing sets the clock: there is no {HOSTS_CLOCK}; does the Windows host "
            "offer Time Synchronization?"
        )
    elif host.unit(_CHRONY).get("ActiveState") != "active":
        yield f"nothing sets the clock: {_CHRONY} does not run; sudo backend"
