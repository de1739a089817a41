"""Which backend this host is, and the command that manages it."""

from __future__ import annotations

from string import Template
from typing import Iterator

from backend_server.components.verbatim import verbatim
from backend_server.gather import Site
from backend_server.resource import Resource
from backend_server.resources import Directory, File


BACKEND_FILE = "/etc/opensafely/backend"

_COMMAND = Template("""\
#!/bin/sh
exec $checkout/$backend/manage.sh "$$@"
""")


def identity(site: Site) -> Iterator[Resource]:
    """The folders where state is kept, this host's name, and `sudo backend`."""
    yield Directory("/etc/opensafely")
    yield File(BACKEND_FILE, f"{site.backend.name}\n")
    yield Directory("/var/lib/opensafely")
    command = _COMMAND.substitute(checkout=site.checkout, backend=site.backend.name)
    yield File("/usr/local/sbin/backend", command, mode=0o755)
    yield verbatim(site, "/etc/bash_completion.d/backend")
