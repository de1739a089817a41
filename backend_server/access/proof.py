"""That a program is content with its configuration, whoever wrote it."""

from __future__ import annotations

from typing import Iterator

from backend_server.access import sshd
from backend_server.access import sshd_live as daemon
from backend_server.access.sudoers import files
from backend_server.engine.in_force import InForce
from backend_server.host.reader import HostReader
from backend_server.text.errors import Refused


class Proven(InForce):
    """`sshd` or `sudo` has found all of its configuration, as it is here now, to be in order.

    A file that somebody else broke would be noticed at the next reboot otherwise. Refused with
    the program's own words.
    """

    def asks(self) -> tuple[str, ...]:
        return (daemon.SERVICE,) if self.program == "sshd" else ()

    def objection(self, host: HostReader) -> Refused | None:
        said = self._ask(host)
        what = f"{self.program} does not take the configuration that is on this host"
        return Refused(what, hint=said) if said else None

    def _ask(self, host: HostReader) -> str:
        if self.program == "sshd":
            return host.sshd_test() if host.stat("/usr/sbin/sshd") else ""
        return host.visudo_check() if host.stat("/usr/sbin/visudo") else ""

    def goes_by(self, host: HostReader) -> Iterator[str]:
        """With the modes of files: sudo refuses some of them."""
        if self.program == "sshd":
            yield from daemon.options(host)
            found = sshd.settings(host.read, host.names)
            yield from sorted({sshd.MAIN, *(setting.source for setting in found)})
            yield sshd.DROP_INS
        else:
            yield from files(host)
