"""Level 4 outputs go to the share: what mounts it, and the timer that pushes."""

from __future__ import annotations

from typing import Iterator

from backend_server.base.verbatim import by_timer, filled
from backend_server.checkout import Share, Site
from backend_server.engine import Resource, octal
from backend_server.outputs import credentials
from backend_server.outputs.mount import Automount, MountPoint
from backend_server.resources import UNITS, OperatorsFile, Packages, UnitFile
from backend_server.storage.component import HIGH_TREE, WORKSPACES
from backend_server.text.roles import MEDIUM


# Soft: whoever waits for a server that is gone gets an error, and is not stuck for ever.
# No cache and no leases: ADR 0032.
_OPTIONS = (
    *("soft", "echo_interval=10", "actimeo=1", "cache=none", "nolease"),
    *("forceuid", "forcegid"),
    *("nosuid", "nodev", "noexec", "nofail", "_netdev"),
)

_PUSH = "opensafely-outputs"


def outputs(site: Site, share: Share) -> Iterator[Resource]:
    """Nothing here waits for the server: it is looked for at the first push."""
    yield Packages("outputs", frozenset({"cifs-utils", "e2fsprogs"}))
    yield OperatorsFile(credentials.FILE, credentials.HEADER)
    yield MountPoint(share.mount_point)
    named = {"server": share.server, "mount_point": share.mount_point}
    words = {**named, "source": share.source, "options": ",".join(options(share))}
    automount = f"{share.unit}.automount"
    # What is started anew unmounts first, so that the mount has its new options, too. There is
    # no limit to how often it may fail: after that the automount would be gone, and the folder
    # would look like an empty share.
    for kind in ("mount", "automount"):
        text = filled(site, f"{UNITS}/{_PUSH}.{kind}", **words)
        yield UnitFile(f"{UNITS}/{share.unit}.{kind}", text, notify=(automount,))
    yield Automount(automount)
    # No path that is the mount, or above it, is named there: systemd would look at it first.
    # So it is not ProtectSystem=strict, by which a share that is mounted would be read-only.
    places = {"workspaces": WORKSPACES[MEDIUM], "high": HIGH_TREE}
    yield from by_timer(site, _PUSH, server=share.server, **places)


def options(share: Share) -> Iterator[str]:
    """mount.cifs(8)'s. The password is in no line that others can read."""
    yield f"username={share.account}"
    if share.domain:
        yield f"domain={share.domain}"
    yield f"credentials={credentials.FILE}"
    yield f"vers={share.version}"
    if share.seal:
        yield "seal"
    yield f"port={share.port}"
    yield f"uid={share.uid}"
    yield f"gid={share.gid}"
    yield f"file_mode={octal(share.file_mode)}"
    yield f"dir_mode={octal(share.dir_mode)}"
    yield from _OPTIONS
