"""A guest of Hyper-V: its kernel, what tells the Windows host about it, and the time from there."""

from __future__ import annotations

import os
from typing import Iterator

from backend_server.base.verbatim import verbatim
from backend_server.checkout.gather import Site
from backend_server.engine import HostReader, Resource
from backend_server.resources import UNITS, NoPackages, Packages, Unit


# A folder with a device for each service of the Windows host.
VMBUS = "/dev/vmbus"
HOSTS_CLOCK = "/dev/ptp_hyperv"
_CHRONY = "chrony.service"
_CONF_FILE = "/etc/chrony/chrony.conf"
_OTHERS = ("systemd-timesyncd", "ntpsec", "ntp", "openntpd")
_CLOCKS = (_CHRONY, *(f"{name}.service" for name in _OTHERS))
_CONTAINER = "/run/systemd/container"
_TARGETS = ("multi-user", "sysinit")


def hyperv(site: Site) -> Iterator[Resource]:
    """The kernel runs, and the host's clock has its name, from the next boot on.

    The packages' own units start the daemons where the host offers each service, and
    only then: without its device a daemon rests, and that is no failure.
    """
    yield Packages("hyperv", frozenset(site.release.hyperv))
    # Debian 11 has no such rule. Others' own has it from the boot on and takes it away at
    # `udevadm trigger`, which packages call; without it chronyd does not start again.
    yield verbatim(site, "/etc/udev/rules.d/60-opensafely-clock.rules")


def clock(site: Site) -> Iterator[Resource]:
    """chronyd follows the host's clock, as no time server can be reached; nothing else sets the time."""
    yield NoPackages("systemd-timesyncd", frozenset({"systemd-timesyncd"}))
    yield Packages("chrony", frozenset({"chrony"}))
    # The whole of it, so that the distribution's pools are gone, and those that 26.04 has in a
    # file of its own: from here none answers, and chronyd would ask for ever.
    # poll: every 8 s; dpoll: each from readings 0.25 s apart. makestep: a guest that was paused
    # for a backup would take days to slew back.
    yield verbatim(site, _CONF_FILE, notify=_CHRONY)
    # Without the device chronyd ends at once. At boot udev may be later than chronyd, and a host
    # may offer its clock again.
    yield verbatim(site, f"{UNITS}/{_CHRONY}.d/opensafely-clock.conf")
    yield Unit(_CHRONY)


def unset_clock(site: Site, host: HostReader) -> Iterator[str]:
    """A sentence where nothing sets the clock any more, which something once did."""
    if not site.backend.hyperv:
        yield from _turned_off(host)
    elif HOSTS_CLOCK not in (host.read(_CONF_FILE) or ""):
        return
    elif host.stat(HOSTS_CLOCK) is None:
        yield (
            f"nothing sets the clock: there is no {HOSTS_CLOCK}; does the Windows host "
            "offer Time Synchronization?"
        )
    elif host.unit(_CHRONY).get("ActiveState") != "active":
        yield f"nothing sets the clock: {_CHRONY} does not run; try: sudo backend"


def _turned_off(host: HostReader) -> Iterator[str]:
    """Elsewhere it is the provider's own service; a container's clock is its machine's."""
    here = [unit for unit in _CLOCKS if host.stat(f"/lib/systemd/system/{unit}")]
    if not here and host.stat(_CONTAINER) is None:
        told = "no time service is installed"
        yield f"nothing sets the clock: {told}; try: apt-get install chrony"
    elif here and not any(_begins(host, unit) for unit in here):
        mends = f"systemctl unmask {here[0]}; systemctl enable --now {here[0]}"
        yield f"nothing sets the clock: {here[0]} is off; try: {mends}"


def _begins(host: HostReader, unit: str) -> bool:
    wanted = (host.link(f"{UNITS}/{t}.target.wants/{unit}") for t in _TARGETS)
    # In a container none is started: there it is enough that one would be.
    off = ("failed",) if host.stat(_CONTAINER) else ("failed", "inactive")
    stopped = host.units_in_memory().get(unit, ("", ""))[1] in off
    return any(wanted) and host.link(f"{UNITS}/{unit}") != os.devnull and not stopped
