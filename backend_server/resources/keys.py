"""The keys that open an account."""

from __future__ import annotations

from dataclasses import dataclass

from backend_server.change import Changes
from backend_server.errors import Refused
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.keys import Key
from backend_server.resource import Resource
from backend_server.resources.file import File


KEY_FOLDER = "/etc/ssh/opensafely_keys"  # root's own: nothing is written under a home


@dataclass(frozen=True)
class AuthorizedKeys(Resource):
    """Exactly these public keys open an account; one that is off this list does not.

    ssh-keygen judges them too, before they land: Refused where it reads other keys.
    """

    user: str
    keys: tuple[Key, ...]

    @property
    def _file(self) -> File:
        text = "".join(key.line(self.user, f"keys/{self.user}") for key in self.keys)
        return File(f"{KEY_FOLDER}/{self.user}", text)

    def owns(self) -> tuple[str, ...]:
        return (self._file.path,)

    def check(self, host: HostReader) -> Changes:
        file = self._file
        changes = file.check(host)
        if any(change.field == "text" for change in changes) and self.keys:
            wanted = {key.fingerprint for key in self.keys}
            if host.fingerprints(file.text) != wanted:
                raise Refused(
                    f"ssh-keygen does not read the keys of {self.user} as this tool does",
                    hint=f"ssh-keygen -l -f keys/{self.user}",
                )
        return tuple(change._renamed() for change in changes)

    def apply(self, host: Host, changes: Changes) -> None:
        self._file.apply(host, changes)
