"""What is kept on the host from one run to the next, as JSON that only root can read."""

from __future__ import annotations

import json

from backend_server.host.writer import Host


def keep(host: Host, path: str, found: object) -> None:
    """PATH says exactly this; a file that says so already is left alone."""
    text = json.dumps(found, indent=1) + "\n"
    if host.read(path) != text:
        host.write(path, text, 0o600)
