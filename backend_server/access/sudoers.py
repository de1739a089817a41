"""Who may become whom with sudo."""

from __future__ import annotations

from backend_server.engine.resource import AtPath
from backend_server.host import undo
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.resources.file import File
from backend_server.text.change import Changes, compare
from backend_server.text.errors import Refused, UserError


_MAIN = "/etc/sudoers"
_INCLUDES = ("@includedir /etc/sudoers.d", "#includedir /etc/sudoers.d")


class Sudoers(AtPath):
    """A file of rules below sudoers.d, read by sudo, valid alone and with all other files.

    Where it does not fit the others the old file comes back. Refused where the rules that are
    here already are broken: an old sudo then lets nobody in at all.
    """

    text: str
    mode: int = 0o440
    owner: str = "root"
    group: str = "root"

    @property
    def _file(self) -> File:
        validate = ("visudo", "-cf")
        return File(self.path, self.text, mode=self.mode, validate=validate)

    def check(self, host: HostReader) -> Changes:
        changes = self._file.check(host)
        if not changes and undo.kept(
            host, self.path
        ):  # a killed run had just written it
            changes = compare(text=("not yet proven", "valid among all files"))
        if host.stat(_MAIN) and changes:
            lines = (host.read(_MAIN) or "").splitlines()
            if not any(line.strip() in _INCLUDES for line in lines):
                raise Refused(
                    f"{_MAIN} does not include /etc/sudoers.d, so no rule would be read",
                    hint=f"visudo, and end {_MAIN} with: {_INCLUDES[0]}",
                )
            said = host.visudo_check()
            if said and self.path not in said:
                raise Refused(
                    "sudo's rules that are here already are broken", hint=said
                )
        return changes

    def apply(self, host: Host, changes: Changes) -> None:
        undo.keep(host, self.path)
        self._file.apply(host, changes)
        try:
            host.run("visudo", "-c")
        except UserError as error:
            undo.bring_back(host, self.path)
            raise UserError(
                f"sudo does not take the new {self.path} among its other files; "
                "the old one is back",
                hint=error.hint,
            ) from None
        undo.forget(host, self.path)
