"""The one way that docker, the kernel and held packages move: while no job runs."""

from __future__ import annotations

import contextlib
import re
import time
from typing import Iterator

from backend_server.checkout.gather import Site
from backend_server.desktop import component
from backend_server.host import Host, apt
from backend_server.host.sessions import desktops
from backend_server.jobs import updates
from backend_server.jobs.listing import DOCKER, Job, NoDocker, listed, running
from backend_server.jobs.proving import DEGRADED, FAILED, OK, Result, proofs, tried
from backend_server.people.processes import running as running_here
from backend_server.services import meanwhile
from backend_server.text.change import counted
from backend_server.text.errors import Refused, UserError


LOCK = "/run/opensafely/maintenance"  # two of them would start what the other stopped
PROVE_AT_BOOT = "/var/lib/opensafely/prove-at-boot"  # while it is there, a boot proves


def before(host: Host, site: Site) -> list[str]:
    """What a person should know: each job, and how to keep new ones away."""
    # A docker that was stopped, or killed in an upgrade, runs again. That disturbs nothing.
    if host.unit(DOCKER).get("ActiveState") != "active":
        with contextlib.suppress(UserError):  # what does not start may be mended below
            host.run("systemctl", "start", DOCKER)
    name = site.backend.name
    return [
        *map(str, _jobs(host, site)),
        f"on the controller, `prepare_for_reboot --backend {name}` keeps new jobs away; "
        "with --status it says when none is left",
    ]


def wait_for_none(host: Host, site: Site, until: float) -> None:
    """No job runs. Raises Refused at the time UNTIL of the monotonic clock; changes nothing."""
    told: list[str] = []
    while True:
        now = [job.id for job in running(_jobs(host, site))]
        if not now:
            return
        names = ", ".join(now)
        if time.monotonic() >= until:
            raise Refused(
                f"{counted(len(now), 'job')} would be disturbed: {names}; "
                "nothing was touched",
                hint="sudo backend host maintenance --wait 2h",
            )
        if now != told:
            host.say(f"waiting for {names}; Ctrl-C leaves all as it was")
            told = now
        time.sleep(3)


def _jobs(host: Host, site: Site) -> list[Job]:
    """With docker down, those that it started tell by their processes."""
    try:
        return listed(host, site.backend)
    except NoDocker as error:
        # Others may call themselves so; of these, nobody logged in and nobody else became root.
        here = (p for p in running_here(host).values() if p.uids <= {0, 2**32 - 1})
        if any(process.name.startswith("containerd-shim") for process in here):
            raise Refused(f"{error}, and containers run on", hint=error.hint) from None
        return []


@contextlib.contextmanager
def no_new_jobs(host: Host, site: Site, until: float) -> Iterator[None]:
    """What starts jobs is stopped meanwhile, and started afterwards, whoever dies.

    Where the host goes down, booting starts it. Jobs that are ready wait on the disk.
    Raises Refused where one still runs at UNTIL.
    """
    services = [service for service in site.services if service.docker]
    here = [s for s in services if host.unit(s.unit).get("LoadState") == "loaded"]
    units = [service.unit for service in here]
    host.remove(PROVE_AT_BOOT)  # of a maintenance that was killed
    alone = False  # until none began between the look and the stop
    while not alone:
        wait_for_none(host, site, until)
        with meanwhile.on_trial(host, *(service.name for service in here)):
            _systemctl(host, "stop", units)
            alone = not running(_jobs(host, site))
            if alone:
                yield
            if not host.stat(PROVE_AT_BOOT):
                _systemctl(host, "start", units)


def _systemctl(host: Host, verb: str, units: list[str]) -> None:
    if units:
        host.run("systemctl", verb, *units)


def upgraded(host: Host) -> Iterator[Result]:
    """Held packages, which stay held, and all others are the newest that there are."""
    held, waits = movable(host)
    if waits:
        yield waits
    yield tried("lists", _fresh, host)
    yield tried(
        "held", lambda: _counted(apt.upgrade_held(host, held)) if held else "none"
    )
    yield tried("packages", lambda: _counted(apt.upgrade(host)))


def movable(host: Host) -> tuple[list[str], Result | None]:
    """What is held, less the remote desktop's while people are on it: it would be gone."""
    held, open_now = updates.held_here(host), len(list(desktops(host)))
    stay = component.HELD.intersection(held) if open_now else frozenset()
    if not stay:
        return held, None
    still = f"{counted(open_now, 'session')} open, so {' and '.join(sorted(stay))}"
    says = f"{still} did not move: sudo backend people sessions --end ends them"
    waits = Result("desktop", DEGRADED, says)
    return [name for name in held if name not in stay], waits


def _fresh(host: Host) -> str:
    apt.update(host)
    return "are fresh"


def _counted(said: str) -> str:
    found = re.search(r"(?m)^\d+ upgraded, \d+ newly installed", said)
    return found.group() if found else "are the newest"


def restarted(host: Host) -> Result:
    """dockerd has read its file anew, and runs at the version that is installed."""
    try:
        host.run("systemctl", "restart", DOCKER)
    except UserError as error:
        hint = "`sudo backend` puts /etc/docker/daemon.json right"
        return Result("docker", FAILED, f"{error}: {error.hint}; {hint}")
    host.clear_pending(DOCKER)
    return Result("docker", OK, "was restarted")


def proven(host: Host, site: Site) -> Iterator[Result]:
    """The proofs; those that a boot was to make are made."""
    host.remove(PROVE_AT_BOOT)
    yield from proofs(host, site)


def reboot(host: Host) -> None:
    """The host goes down, and proves itself when it is up again."""
    host.write(PROVE_AT_BOOT, "", 0o644)
    try:
        host.run("systemctl", "reboot")
    except UserError:
        host.remove(PROVE_AT_BOOT)
        raise
