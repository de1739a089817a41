"""What this host is now, from what is quickly read."""

from __future__ import annotations

from typing import Iterator

from backend_server import history
from backend_server.gather import Site
from backend_server.host import undo
from backend_server.host.reader import PENDING, HostReader
from backend_server.report import say_counts
from backend_server.roles import ROLES


REBOOT_REQUIRED = "/run/reboot-required"


def status(site: Site, host: HostReader) -> dict[str, object]:
    """See docs/json.md for what each key means."""
    waiting = [unit for unit in host.names(PENDING) if host.pending(unit)]
    return {
        "backend": site.backend.name,
        "release": site.release.name,
        "people": {
            group: sorted(host.members(group))
            for group in (role.group for role in ROLES if role.roster)
        },
        "pending": waiting,
        "unconfirmed": list(undo.differing(host)),
        "reboot_required": host.stat(REBOOT_REQUIRED) is not None,
        "last_run": next(history.runs(host), None),
    }


def lines(found: dict[str, object]) -> Iterator[str]:
    yield f"backend     {found['backend']} on {found['release']}"
    people = found["people"]
    assert isinstance(people, dict)
    for group, names in people.items():
        yield f"{group:<11} {' '.join(names) or 'nobody'}"
    pending = found["pending"]
    assert isinstance(pending, list)
    yield f"pending     {' '.join(pending) or 'nothing'}"
    unconfirmed = found["unconfirmed"]
    if isinstance(unconfirmed, list) and unconfirmed:
        yield f"unconfirmed {' '.join(unconfirmed)}: log in anew, or `host undo`"
    yield f"reboot      {'required' if found['reboot_required'] else 'not required'}"
    yield f"last run    {_last(found['last_run'])}"


def _last(run: object) -> str:
    if not isinstance(run, dict):
        return "none is recorded"
    clean = "" if run["clean"] else ", with local changes"
    if run["exit"] is None:
        result = "did not end: run manage.sh again"
    else:
        result = f"exit {run['exit']}, {say_counts(run['totals'])}"
    return f"{run['began']} by {run['who']} at {run['commit']}{clean}: {result}"
