"""The keys that open an account."""

from __future__ import annotations

from dataclasses import dataclass

from backend_server.change import Changes, compare
from backend_server.errors import Refused
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.keys import FOLDER, Key, in_text
from backend_server.resource import Resource
from backend_server.resources.file import access


@dataclass(frozen=True)
class AuthorizedKeys(Resource):
    """Exactly these public keys open an account, from a file that root alone can write.

    ssh-keygen judges them before they land: Refused where it reads other keys than we do.
    """

    user: str
    keys: tuple[Key, ...]
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"

    @property
    def path(self) -> str:
        return f"{FOLDER}/{self.user}"

    @property
    def text(self) -> str:
        return "".join(key.line(self.user, f"keys/{self.user}") for key in self.keys)

    def owns(self) -> tuple[str, ...]:
        return (self.path,)

    def check(self, host: HostReader) -> Changes:
        found = host.read(self.path)
        changes = access(host, host.stat(self.path), self.owner, self.group, self.mode)
        if found == self.text:
            return changes
        host.refuse_unreachable(self.path)
        self._ask_ssh_keygen(host)
        wanted = frozenset(map(str, self.keys))
        return compare(keys=(_before(found, wanted), wanted)) + changes

    def apply(self, host: Host, changes: Changes) -> None:
        host.write(self.path, self.text, self.mode, self.owner, self.group)

    def _ask_ssh_keygen(self, host: HostReader) -> None:
        if host.fingerprints(self.text) != {key.fingerprint for key in self.keys}:
            raise Refused(
                f"ssh-keygen does not read the keys of {self.user} as this tool does",
                hint=f"ssh-keygen -l -f keys/{self.user}",
            )


@dataclass(frozen=True)
class OnlyTheseKeys(Resource):
    """The folder of keys is root's, and has files for nobody but these accounts."""

    folder: str
    users: frozenset[str]
    mode: int = 0o755
    owner: str = "root"
    group: str = "root"

    def owns(self) -> tuple[str, ...]:
        return (self.folder,)

    def holds_others(self) -> bool:
        return True

    def check(self, host: HostReader) -> Changes:
        found = host.stat(self.folder)
        changes = access(host, found, self.owner, self.group, self.mode)
        strangers = frozenset(host.names(self.folder)) - self.users
        if strangers:
            changes += compare(users=(self.users | strangers, self.users))
        if changes:
            host.refuse_unreachable(self.folder)
        return changes

    def apply(self, host: Host, changes: Changes) -> None:
        if host.stat(self.folder) is None:
            host.make_directory(self.folder, self.mode, self.owner, self.group)
        host.set_access(self.folder, self.mode, self.owner, self.group)
        for name in frozenset(host.names(self.folder)) - self.users:
            host.remove(f"{self.folder}/{name}")


def _before(text: str | None, wanted: frozenset[str]) -> frozenset[str] | None:
    if text is None:
        return None
    found = frozenset(map(str, in_text(text)))
    return found if found != wanted else found | {"lines that are no keys"}
