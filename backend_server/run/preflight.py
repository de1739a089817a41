"""What must be so before a host is managed at all."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from backend_server.base.component.identity import BACKEND_FILE
from backend_server.host.reader import HostReader
from backend_server.run.place import Asked
from backend_server.text.errors import Refused


def can_be_managed(host: HostReader) -> None:
    """Raises Refused where systemd is not what runs this machine."""
    if host.stat("/run/systemd/system") is None:
        raise Refused(
            "systemd does not run this machine; wanted a booted Ubuntu server",
            hint="sudo ./scripts/sandbox.sh test",
        )


def plain_path(checkout: Path) -> None:
    """Raises Refused where a unit or a shell would read the path of the checkout otherwise."""
    if not re.fullmatch(r"[\w/.+@:,=~-]+", str(checkout), re.ASCII):
        better = re.sub(r"[^\w/.+@:,=~-]+", "-", str(checkout), flags=re.ASCII)
        raise Refused(
            f"the checkout is at {str(checkout)!a}; wanted a path without blanks, quotes, % and $",
            hint=f"mkdir -p {Path(better).parent} && mv {shlex.quote(str(checkout))} {better}",
        )


def is_first_run(host: HostReader) -> bool:
    return host.stat(BACKEND_FILE) is None


def same_backend(asked: Asked, host: HostReader) -> None:
    """Raises Refused where this host has already become another backend."""
    found = (host.read(BACKEND_FILE) or asked.backend).strip()
    if found != asked.backend:
        raise Refused(
            f"this host is the backend {found}; wanted {asked.backend}",
            hint=f"sudo {asked.checkout}/{found}/manage.sh",
        )
