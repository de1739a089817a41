"""That a program is content with its configuration, whoever wrote it."""

from __future__ import annotations

import hashlib
from typing import Iterator

from backend_server.access import sshd
from backend_server.access import sshd_live as daemon
from backend_server.engine.resource import Resource
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.text.change import Changes, compare
from backend_server.text.errors import Refused


_FOLDER = "/var/lib/opensafely/proofs"
_SUDOERS = ("/etc/sudoers", "/etc/sudoers.d")


class Proven(Resource):
    """`sshd` or `sudo` has found all of its configuration, as it is here now, to be in order.

    It is asked only when a file of it, or an option that it runs with, is not the one of the
    last proof: a file that somebody else broke would be noticed at the next reboot otherwise.
    `changed_by` are the labels of the resources that write such files. Refused with the
    program's own words.
    """

    program: str
    changed_by: tuple[str, ...] = ()

    @property
    def _proof(self) -> str:
        return f"{_FOLDER}/{self.program}"

    def asks(self) -> tuple[str, ...]:
        return (daemon.SERVICE,) if self.program == "sshd" else ()

    def check(self, host: HostReader) -> Changes:
        unproven = compare(program=(None, self.program))
        if any(host.planned(label) for label in self.changed_by):
            return unproven
        if host.read(self._proof) == self._digest(host):
            return ()
        said = self._ask(host)
        if said:
            raise Refused(
                f"{self.program} does not take the configuration that is on this host",
                hint=said,
            )
        return unproven

    def apply(self, host: Host, changes: Changes) -> None:
        host.write(self._proof, self._digest(host), 0o644)

    def _ask(self, host: HostReader) -> str:
        if self.program == "sshd":
            return host.sshd_test() if host.stat("/usr/sbin/sshd") else ""
        return host.visudo_check() if host.stat("/usr/sbin/visudo") else ""

    def _digest(self, host: HostReader) -> str:
        digest = hashlib.sha256()
        for part in self._inputs(host):
            digest.update(part.encode("utf-8", "surrogateescape") + b"\0")
        return digest.hexdigest() + "\n"

    def _inputs(self, host: HostReader) -> Iterator[str]:
        """Everything that the program reads, with its modes: sudo refuses some of them."""
        if self.program == "sshd":
            yield from daemon.options(host)
            found = sshd.settings(host.read, host.names)
            paths = {sshd.MAIN, *(setting.source for setting in found)}
            paths |= {f"{sshd.DROP_INS}/{name}" for name in host.names(sshd.DROP_INS)}
        else:
            main, folder = _SUDOERS
            paths = {main, *(f"{folder}/{name}" for name in host.names(folder))}
        for path in sorted(paths):
            at = host.stat(path)
            yield path
            yield f"{at.st_mode:o} {at.st_uid}" if at else ""
            yield host.read(path) or ""
