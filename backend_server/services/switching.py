"""Running a service at an image: pull, start, wait until it is steady, or go back."""

from __future__ import annotations

import re
import time
from typing import Any, Callable, Mapping, Sequence

from backend_server.checkout.service import DOCKER_GROUP, unit_of
from backend_server.host import Host, HostReader
from backend_server.services import agent, choices, meanwhile
from backend_server.text.errors import CommandFailed, OutsideWorld, UserError
from backend_server.text.frozen import Frozen
from backend_server.text.parsers import parse_units


PATIENCE_S = 120  # for a service to become steady
_ENDED_OFTEN = 3  # it does not become steady by waiting longer
_DIGEST = r"(?m)^Digest: (sha256:[0-9a-f]{64})$"

# What docker says of a pull that failed, and what it means.
_WHY = {
    "x509": "its certificate is not one that this host trusts",
    "manifest unknown|not found": "the registry has no such image",
    "unauthorized": "the registry wants to know who asks",
    "denied": "the registry does not give it out",
    "no space left": "the disk is full",
    "connection re|timeout|deadline|no route|eof|tls:": "the registry does not answer",
    "no such host": "its name has no address here",
}


class Start(Frozen):
    """A start of a service. systemd keeps its counter over a restart that ends a pause."""

    restarts: int  # what NRestarts was then
    at: float  # seconds of the epoch


def pull(host: Host, reference: str) -> str:
    """The image is on this host; returns its digest. Raises OutsideWorld saying why not."""
    host.say(f"docker pulls {reference}")
    try:
        said = host.run("docker", "pull", reference, deadline_s=1800)
    except CommandFailed as error:
        words = error.hint.lower()
        known = (says for marks, says in _WHY.items() if re.search(marks, words))
        why = next(known, "docker pull failed")
        raise OutsideWorld(f"{reference} was not pulled: {why}", error.hint) from None
    found = re.search(_DIGEST, said)
    if not found:
        raise OutsideWorld(f"docker did not say what it pulled for {reference}", said)
    return found.group(1)


def docker_gid(host: HostReader) -> str:
    """The number of docker's group here; empty where there is none."""
    group = host.groups().get(DOCKER_GROUP)
    return str(group.gid) if group else ""


def wanted(host: HostReader, name: str, image: str, docker: bool) -> choices.Settings:
    """Those by which a service runs at an image, and may go back to the one before."""
    found = choices.settings(host, name)
    before = found.previous if found.image == image else found.image
    return choices.Settings(image, before, docker_gid(host) if docker else "")


def switch(
    host: Host,
    name: str,
    wanted: choices.Settings,
    steady_s: int,
    proven: Callable[[bool], object] = bool,
    keep: bool = False,
    doubt: Callable[[], str] = str,
    data: Sequence[str] = (),
) -> None:
    """The service runs with these settings; PROVEN is told whether it does so steadily.

    Where the image is another one than before and does not become steady, the one before is
    back, with its DATA of before, and UserError has its last words, or what DOUBT says once it
    is up; so it is after Ctrl-C, and whoever dies. With KEEP, and without one before, nothing is
    brought back: it goes on trying.
    """
    before = choices.settings(host, name).image
    if before in ("", wanted.image):
        proven(steady(host, name, steady_s, start(host, name, wanted)))
        return
    erred = agent.errs(host, name)
    with meanwhile.on_trial(host, name, *data, said=lambda: proven(stays)):
        this = start(host, name, wanted)
        stays = steady(host, name, steady_s, this)
        # What errs with this image alone speaks against it.
        errs = agent.errs(host, name, this.at)
        new = "\n".join(str(errs[job]) for job in sorted(errs.keys() - erred.keys()))
        new = new or (doubt() if stays else "")
        stays = stays and not new
        if not stays and not keep:
            raise UserError(
                f"{name} did not stay up at {wanted.image.partition('@')[2]}; it is "
                f"back at {before.partition('@')[2]}",
                hint=new or last_words(host, name, this),
            )


def start(host: Host, name: str, wanted: choices.Settings) -> Start:
    """The service was started anew with these settings, and comes back after a reboot."""
    if choices.settings(host, name) != wanted:
        # Killed after this, the next run knows that the unit has not read it.
        host.mark_pending(unit_of(name), f"settings of {name}")
        choices.settle(host, name, wanted)
    host.run("systemctl", "enable", "--quiet", unit_of(name))
    host.run("systemctl", "restart", unit_of(name))
    host.clear_pending(unit_of(name))
    return started(host, name)


def started(host: Host, name: str) -> Start:
    """The start that this service is at now."""
    state = _now(host, unit_of(name))
    began = int(state.get("ActiveEnterTimestampMonotonic") or 0) / 1e6
    ago_s = time.clock_gettime(time.CLOCK_MONOTONIC) - began
    return Start(int(state.get("NRestarts") or 0), time.time() - ago_s)


def steady(host: Host, name: str, steady_s: int, this: Start) -> bool:
    """Waits until the service ran that long without a restart; not where it ends again and again.

    Only what comes after this start counts.
    """
    host.say(f"{name} is to run for {steady_s} s")
    deadline = time.monotonic() + max(PATIENCE_S, steady_s)
    while time.monotonic() < deadline:
        state = _now(host, unit_of(name))
        if running_s(state) >= steady_s:
            return True
        # Before 254 a unit is inactive for a moment when its pause is over.
        idle = state.get("ActiveState") in ("inactive", "failed")
        again = int(state.get("NRestarts") or 0) - this.restarts
        if idle and not state.get("Job"):
            return False
        if again >= _ENDED_OFTEN:
            return agent.only_jobs_err(host, name, this.at)
        time.sleep(0.5)
    return False


def last_words(host: Host, name: str, this: Start) -> str:
    """What the service said last, since this start."""
    return "\n".join(host.last_words(unit_of(name), name, 10, this.at))


def running_s(state: Mapping[str, str]) -> float:
    """For how long the unit has been up without a restart; 0 while it is not."""
    began = int(state.get("ActiveEnterTimestampMonotonic") or 0)
    if state.get("ActiveState") != "active" or not began:
        return 0
    return time.clock_gettime(time.CLOCK_MONOTONIC) - began / 1e6


def created(image: Mapping[str, Any]) -> str:
    """The day an image was made; empty where that is not known."""
    return str(image.get("Created", ""))[:10]


def _now(host: Host, unit: str) -> Mapping[str, str]:
    what = "Id,Names,ActiveState,NRestarts,ActiveEnterTimestampMonotonic,Job"
    said = host.run("systemctl", "show", f"--property={what}", unit)
    return parse_units(said).get(unit, {})
