"""Which backend this host is, and the command that manages it."""

from __future__ import annotations

from string import Template
from typing import Iterator

from backend_server.base.verbatim import verbatim
from backend_server.checkout.gather import Site
from backend_server.engine.resource import Resource
from backend_server.host.undo import TOGETHER
from backend_server.resources import UNITS, Directory, File, Unit, UnitFile


BACKEND_FILE = "/etc/opensafely/backend"

_UNDO = "opensafely-undo-at-boot.service"
_UNDO_TEXT = Template("""\
[Unit]
Description=Bring back what a change to sshd, PAM or the firewall replaced, if nobody had confirmed it
ConditionPathExists=$kept
RequiresMountsFor=$checkout
Before=ssh.service systemd-user-sessions.service

[Service]
Type=oneshot
ExecStart=$checkout/$backend/manage.sh host undo
TimeoutStartSec=60

[Install]
WantedBy=multi-user.target
""")

_COMMAND = Template("""\
#!/bin/sh
exec $checkout/$backend/manage.sh "$$@"
""")


def identity(site: Site) -> Iterator[Resource]:
    """Folders for state, this host's name, `sudo backend`, and a way back at each boot."""
    yield Directory("/etc/opensafely")
    yield File(BACKEND_FILE, f"{site.backend.name}\n")
    yield Directory("/var/lib/opensafely")
    checkout, name = site.checkout, site.backend.name
    at_boot = _UNDO_TEXT.substitute(checkout=checkout, backend=name, kept=TOGETHER)
    yield UnitFile(f"{UNITS}/{_UNDO}", at_boot)
    yield Unit(_UNDO, running=None)
    command = _COMMAND.substitute(checkout=checkout, backend=name)
    yield File("/usr/local/sbin/backend", command, mode=0o755)
    yield verbatim(site, "/etc/bash_completion.d/backend")
