"""What this host is now, from what is quickly read."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta, timezone
from typing import Any, Iterator

from backend_server.access import pam_profiles, second_factor
from backend_server.base import nft
from backend_server.base.component.hyperv import unset_clock
from backend_server.base.inbound import FIREWALL, LIMITS
from backend_server.checkout.gather import Site, everybody
from backend_server.desktop import remote
from backend_server.engine import history, lock, report
from backend_server.host import undo
from backend_server.host.reader import PENDING, HostReader
from backend_server.host.sessions import desktops
from backend_server.jobs import maintenance
from backend_server.outputs import pushed
from backend_server.people import keyring, odd_lines, reach, revoking
from backend_server.run import watching
from backend_server.run.beneath import beneath
from backend_server.services import meanwhile
from backend_server.text.networks import TABLE
from backend_server.text.roles import ROLES


# After that long, what GitHub said last is no longer news.
MAX_AGE = timedelta(days=7)
TERMINALS = 512  # of 4096 (kernel.pty.max), that all have together
TABLES = {TABLE: FIREWALL, f"{TABLE}_limits": LIMITS}
REBOOT_REQUIRED = "/run/reboot-required"


def status(site: Site, host: HostReader) -> dict[str, Any]:
    """See docs/json.md for what each key means."""
    units = (service.unit for service in site.services)
    host.watched_units = frozenset(("docker.service", *units))  # in one question
    waiting = [unit for unit in host.names(PENDING) if host.pending(unit)]
    today = datetime.now(timezone.utc).date()
    share = site.backend.share
    outputs = pushed.read(host) if share else None
    late = pushed.degraded(outputs, share) if outputs and share else ()
    watched = watching.watched(site, host, today)
    locks = (maintenance.LOCK, lock.LOCK, revoking.LOCK)
    under_way = sorted({*map(lock.under_way, locks)} - {""})
    left = () if under_way else meanwhile.left(host)
    groups = (role.group for role in ROLES if role.roster)
    return {
        "backend": site.backend.name,
        "release": site.release.name,
        "people": {group: sorted(host.members(group)) for group in groups},
        "without_password": reach.without_password(site, host),
        "without_second_factor": second_factor.without(site, host),
        "locked": pam_profiles.locked(host),
        "ending": reach.ending(site, today),
        **watched,
        "degraded": [
            *beneath(site, host),
            *unseen(site, host),
            *watched["degraded"],
            *late,
            *unset_clock(site, host),
            *remote.down(site, host),
            *failed(host),
            *unfiltered(host),
            *put_off(host),
            *terminals(host),
            *(f"{unit} is on trial, and nobody is at it: host undo" for unit in left),
        ],
        "desktop_sessions": sum(1 for _ in desktops(host)),
        "outputs": outputs and pushed.summary(outputs),
        "odd_lines": list(odd_lines.notes(host)),
        "pending": waiting,
        "unconfirmed": list(undo.differing(host)),
        "reboot_required": host.stat(REBOOT_REQUIRED) is not None,
        "last_run": next(history.runs(host), None),
        "under_way": under_way,
    }


def unseen(site: Site, host: HostReader) -> Iterator[str]:
    """A sentence for everybody whose keys GitHub has not confirmed for too long."""
    oldest, listed = history.now(ago_s=MAX_AGE.total_seconds()), everybody(site.people)
    for name, (keys, seen) in sorted(keyring.held(host).items()):
        if keys and seen < oldest and name in listed:
            yield (
                f"GitHub has not been heard about the keys of {name} for more than "
                f"{MAX_AGE.days} days (last: {seen or 'unknown'}); they still open the account"
            )


def failed(host: HostReader) -> Iterator[str]:
    """A sentence for each unit of ours that ended badly, or could not begin."""
    for unit, (_, active) in sorted(host.units_in_memory().items()):
        if unit.startswith("opensafely-") and active == "failed":
            yield f"{unit} has failed; try: journalctl -u {unit}; systemctl start {unit}"


def unfiltered(host: HostReader) -> Iterator[str]:
    """A sentence for each table of the packet filter that somebody took away or changed."""
    for name, path in TABLES.items():
        if nft.altered(host, name):
            yield f"the packet filter is not as {path} says; try: nft --file {path}"


def put_off(host: HostReader) -> Iterator[str]:
    """A sentence for each timer of ours, or for security updates, that is put off for long."""
    soon = str(datetime.now(timezone.utc).date() + timedelta(days=8))
    for words in map(str.split, host.timers().splitlines()):
        unit = next((word for word in words if word.endswith(".timer")), "")
        far = words[1:2] > [soon] and words[1][0].isdigit()
        if far and unit.startswith(("opensafely-", "apt-daily")):
            yield f"{unit} comes on {words[1]}, not before; try: systemctl cat {unit}"


def terminals(host: HostReader) -> Iterator[str]:
    """A sentence for whoever leaves soon none to others who log in."""
    found = (host.stat(f"/dev/pts/{name}") for name in host.names("/dev/pts"))
    for uid, number in sorted(Counter(each.st_uid for each in found if each).items()):
        if number > TERMINALS:
            name = host.user_name(uid)
            yield f"{name} has {number} terminals, of 4096 for all; try: pkill -KILL -u {name}"


def lines(found: dict[str, Any]) -> Iterator[str]:
    yield f"backend     {found['backend']} on {found['release']}"
    for group, names in found["people"].items():
        yield f"{group:<11} {' '.join(names) or 'nobody'}"
    for name in found["without_password"]:
        yield f"password    {name} has set none for {reach.PATIENCE_DAYS} days or more"
    for name in found["without_second_factor"]:
        yield f"totp        {name} has none and cannot log in: sudo backend people totp {name}"
    for name in found["locked"]:
        yield f"locked      {name} after wrong passwords: faillock --user {name} --reset"
    for each in found["ending"]:
        yield f"ending      {each['name']} has no access any more from {each['until']} on"
    yield from watching.lines(found)
    if found["outputs"]:
        yield from pushed.lines(found["outputs"])
    yield from (f"degraded    {line}" for line in found["degraded"])
    if found["desktop_sessions"]:
        yield f"desktop     {found['desktop_sessions']} open: sudo backend people sessions"
    yield from (f"note        {line}" for line in found["odd_lines"])
    yield f"pending     {' '.join(found['pending']) or 'nothing'}"
    if found["unconfirmed"]:
        paths = " ".join(found["unconfirmed"])
        yield f"unconfirmed {paths}: log in anew, or `host undo`"
    yield f"reboot      {'required' if found['reboot_required'] else 'not required'}"
    yield from (f"under way   {line}" for line in found["under_way"])
    yield f"last run    {_last(found['last_run'])}"


def _last(run: dict[str, Any] | None) -> str:
    if run is None:
        return "none is recorded"
    clean = "" if run["clean"] else ", with local changes"
    if run["exit"] is None:
        result = "did not end: run manage.sh again"
    else:
        result = f"exit {run['exit']}, {report.say_counts(run['totals'])}"
    return f"{run['began']} by {run['who']} at {run['commit']}{clean}: {result}"
