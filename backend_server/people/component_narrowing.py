"""Access that has ended is taken away every 15 minutes, with nobody there to ask."""

from __future__ import annotations

from string import Template
from typing import Iterator

from backend_server.checkout.gather import Site
from backend_server.engine.resource import Resource
from backend_server.resources import Unit, UnitFile


_SERVICE = "opensafely-people.service"
_TIMER = "opensafely-people.timer"

_SERVICE_TEXT = Template("""\
[Unit]
Description=Take away access that has ended
After=network-online.target

[Service]
Type=oneshot
ExecStart=$checkout/$backend/manage.sh people narrow
# Where the place has a proxy, Ubuntu keeps it there.
EnvironmentFile=-/etc/environment
# Degraded: GitHub did not answer, which is no failure of this.
SuccessExitStatus=4
TimeoutStartSec=300
UMask=0077
NoNewPrivileges=yes
PrivateTmp=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
""")

_TIMER_TEXT = """\
[Unit]
Description=Look every 15 minutes whose access has ended

[Timer]
OnCalendar=*:0/15
# Not everybody asks GitHub at the same second.
RandomizedDelaySec=60

[Install]
WantedBy=timers.target
"""


def narrowing(site: Site) -> Iterator[Resource]:
    """Acts on what was applied last, and never on what lies in the checkout."""
    folder = "/etc/systemd/system"
    service = _SERVICE_TEXT.substitute(
        checkout=site.checkout, backend=site.backend.name
    )
    yield UnitFile(f"{folder}/{_SERVICE}", service)
    yield UnitFile(f"{folder}/{_TIMER}", _TIMER_TEXT, notify=(_TIMER,))
    yield Unit(_TIMER)
