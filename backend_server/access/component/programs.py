"""Programs that act as root for whoever starts them."""

from __future__ import annotations

from typing import Iterator

from backend_server.access.set_user_id import SetUserId
from backend_server.engine.resource import Resource
from backend_server.resources import Unit
from backend_server.text.roles import UNPRIVILEGED


def programs() -> Iterator[Resource]:
    """Last, when all packages are there.

    Whoever has no rule of sudo's starts none of them, but the one for their own password: what
    such a program does before it refuses, it does as root.
    """
    yield SetUserId(UNPRIVILEGED, frozenset({"/usr/bin/passwd"}))
    # It asks for them, by the rules that it has for reviewers.
    yield Unit("dbus.service", enabled=None, running=None, on_change="reload")
