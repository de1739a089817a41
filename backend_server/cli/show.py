"""show: what is declared."""

from __future__ import annotations

from backend_server.cli.ending import told
from backend_server.engine import HostReader, report
from backend_server.run.backends import declare
from backend_server.run.place import Asked, site
from backend_server.run.run import chosen
from backend_server.text.releases import RELEASES, named, of_host


class Show(Asked):
    only: tuple[str, ...] = ()
    release: str | None = None


def show(options: Show, host: HostReader) -> int:
    """All that is declared, for this release or any other. Looks at nothing else of the host."""
    os_release = host.os_release()
    if options.release:
        release = named(options.release)
    elif os_release.get("ID") in {known.distribution for known in RELEASES}:
        release = of_host(os_release)
    else:  # a laptop
        release = named("ubuntu 24.04")
    components = chosen(declare(site(options, release)), options.only)
    lines = list(report.declared(components))
    return told(options, {"release": release.name, "declared": lines}, lines)
