"""That sshd is content with its configuration, whoever wrote it."""

from __future__ import annotations

from typing import Iterator

from backend_server.access import sshd
from backend_server.access import sshd_live as daemon
from backend_server.engine.in_force import InForce
from backend_server.host.reader import HostReader
from backend_server.text.errors import Refused


class Proven(InForce):
    """sshd has found all of its configuration, as it is here now, to be in order.

    A file that somebody else broke would be noticed at the next reboot otherwise. Refused with
    its own words.
    """

    def asks(self) -> tuple[str, ...]:
        return (daemon.SERVICE,)

    def objection(self, host: HostReader) -> Refused | None:
        said = host.sshd_test() if host.stat("/usr/sbin/sshd") else ""
        what = "sshd does not take the configuration that is on this host"
        return Refused(what, hint=said) if said else None

    def goes_by(self, host: HostReader) -> Iterator[str]:
        yield from daemon.options(host)
        found = sshd.settings(host.read, host.names)
        yield from sorted({sshd.MAIN, *(setting.source for setting in found)})
        yield sshd.DROP_INS
