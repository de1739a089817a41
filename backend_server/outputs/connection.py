"""How this host comes to the share: the password, the mount, and what mount.cifs says of it."""

from __future__ import annotations

import re

from backend_server.checkout.backend import Share
from backend_server.host import Host
from backend_server.outputs import credentials
from backend_server.outputs.within import UNREACHED
from backend_server.text.errors import OutsideWorld


# What mount.cifs says, and what that means here.
_SILENT = "it does not answer"
_MEANS = {
    **dict.fromkeys((2, 6), "it has no such share"),
    13: "it turned the account or its password away",
    **dict.fromkeys((110, 111, 112, 113, 115), _SILENT),
}


def refuse_without_password(host: Host, share: Share) -> None:
    if not credentials.is_set(host.read(credentials.FILE)):
        raise OutsideWorld(
            f"{share.account} has no password here; "
            f"sudo backend service secrets set {credentials.SECRET}"
        )


def explained(host: Host, share: Share, why: str) -> str:
    """Where the share could not be mounted, only mount.cifs knows why, if it had the time.

    What it said another time, of a password that was wrong then, is no reason now.
    """
    unit = host.unit(share.mount)
    mounted = unit.get("ActiveState", "active") == "active"
    if mounted or UNREACHED not in why:
        return why
    means = _SILENT if unit.get("Result") == "timeout" else ""
    for line in host.said(unit.get("InvocationID", "")):
        found = re.search(r"mount error\(([0-9]+)\)", line)
        means = _MEANS.get(int(found[1]), line) if found else means
    return f"{share.source} was not mounted: {means}" if means else why


def end(host: Host, share: Share) -> None:
    """The next push mounts the share anew: a connection may stay broken for good."""
    if host.unit(share.mount).get("ActiveState") == "active":
        host.run("systemctl", "stop", "--no-block", share.mount)
