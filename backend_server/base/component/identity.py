"""Which backend this host is, and the command that manages it."""

from __future__ import annotations

import os
from typing import Iterator

from backend_server.base.last_word import OurUnits
from backend_server.base.verbatim import filled, verbatim
from backend_server.checkout.gather import Site
from backend_server.host.undo import AT_BOOT, TOGETHER, TRIAL
from backend_server.resources import UNITS, Directory, File, Resource, Unit, UnitFile


BACKEND_FILE = "/etc/opensafely/backend"
# Outside the checkout, which it judges before anything of it runs.
_ENTRY = "/usr/local/lib/opensafely/entry.py"


def identity(site: Site) -> Iterator[Resource]:
    """Folders for state, this host's name, `sudo backend`, and a way back at each boot."""
    yield Directory("/etc/opensafely")
    yield File(BACKEND_FILE, f"{site.backend.name}\n")
    yield Directory("/var/lib/opensafely")
    checkout, name = site.checkout, site.backend.name
    yield Directory(os.path.dirname(_ENTRY))
    yield File(_ENTRY, site.entry)
    command = f'exec /usr/bin/python3 -I -S {_ENTRY} {checkout} {name} "$@"'
    yield File("/usr/local/sbin/backend", f"#!/bin/sh\n{command}\n", mode=0o755)
    at_boot = f"{UNITS}/{AT_BOOT}"
    text = filled(site, at_boot, checkout=checkout, kept=TOGETHER, trial=TRIAL)
    yield UnitFile(at_boot, text)
    yield Unit(AT_BOOT, running=None)
    yield verbatim(site, "/etc/bash_completion.d/backend")
    yield OurUnits("units")
