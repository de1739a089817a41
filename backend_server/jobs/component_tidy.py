"""Once a day what docker no longer needs is removed; after a maintenance a boot is proved."""

from __future__ import annotations

from string import Template
from typing import Iterator

from backend_server.checkout.gather import Site
from backend_server.engine.resource import Resource
from backend_server.resources import Unit, UnitFile


_TIMER = "opensafely-tidy.timer"
_PROOFS = "opensafely-proofs.service"

_TIDY = Template("""\
[Unit]
Description=Remove images that nothing has used for thirty days
After=docker.service

[Service]
Type=oneshot
ExecStart=$manage host tidy
TimeoutStartSec=3600
Nice=10
IOSchedulingClass=idle
UMask=0077
NoNewPrivileges=yes
PrivateTmp=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
""")

_TIMER_TEXT = """\
[Unit]
Description=Look every day which images nothing uses any more

[Timer]
OnCalendar=daily
RandomizedDelaySec=1h
Persistent=yes

[Install]
WantedBy=timers.target
"""

# No oneshot: nothing that a boot is to reach waits for it.
_PROVE = Template("""\
[Unit]
Description=Prove services, network and a job after a maintenance with a reboot
ConditionPathExists=/var/lib/opensafely/prove-at-boot
After=docker.service

[Service]
ExecStart=$manage host prove
# Degraded: the database does not answer, which is no failure of this.
SuccessExitStatus=4
UMask=0077

[Install]
WantedBy=multi-user.target
""")


def tidy(site: Site) -> Iterator[Resource]:
    """Nothing here stops or restarts anything."""
    folder = "/etc/systemd/system"
    manage = f"{site.checkout}/{site.backend.name}/manage.sh"
    service = _TIDY.substitute(manage=manage)
    yield UnitFile(f"{folder}/opensafely-tidy.service", service)
    yield UnitFile(f"{folder}/{_TIMER}", _TIMER_TEXT, notify=(_TIMER,))
    yield Unit(_TIMER)
    yield UnitFile(f"{folder}/{_PROOFS}", _PROVE.substitute(manage=manage))
    yield Unit(_PROOFS, running=None)
