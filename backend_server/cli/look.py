"""status: what is."""

from __future__ import annotations

from backend_server.cli.ending import told
from backend_server.host import HostReader
from backend_server.run import status as host_status
from backend_server.run.place import Asked, of_host_itself
from backend_server.text.errors import DEGRADED, OK


def status(options: Asked, host: HostReader) -> int:
    """What this host is now."""
    this = of_host_itself(options, host)
    found = host_status.status(this, host)
    told(options, found, host_status.lines(found))
    return DEGRADED if found["degraded"] else OK
