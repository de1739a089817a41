"""What services answer on this host, and others elsewhere."""

from __future__ import annotations

import ssl
import time
from typing import Any

from backend_server.people import https
from backend_server.services.switching import PATIENCE_S


_WAIT_S = 10


def status(there: https.Site, page: str, *asked: Any) -> tuple[int, str]:
    """What is answered, 0 for nothing, and why it is no text; it never is one."""
    try:
        there.text(page, 0, _WAIT_S, *asked)
    except https.NoText as error:
        said = str(error).startswith("it answered")
        return error.status if said else 0, str(error)
    return 200, ""


def at_this_host(name: str) -> https.Site:
    """What answers here by a name, whatever finds other sites."""
    there = https.Site(f"https://{name}", {name: "127.0.0.1"})
    there.proxy = ""
    return there


def doubt(page: str) -> str:
    """Why a service that is up does not count as that: its page errs. Empty: it does.

    What the page is known by is another's to look after.
    """
    name, _, path = page.partition("/")
    if not page:
        return ""
    there = at_this_host(name)
    there.context.check_hostname, there.context.verify_mode = False, ssl.CERT_NONE
    found, why, deadline = 0, "", time.monotonic() + PATIENCE_S
    while not found and time.monotonic() < deadline:
        found, why = status(there, path)
        time.sleep(0 if found else 0.5)
    return "" if found == 200 else f"{page}: {why}"
