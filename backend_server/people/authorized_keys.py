"""The keys that open an account."""

from __future__ import annotations

from backend_server.checkout.keys import KEY_FOLDER, Key, in_text, without
from backend_server.engine import Changes, Refused, Resource, compare
from backend_server.host import Host, HostReader, revoked
from backend_server.resources import Directory
from backend_server.resources.file import access


class _KeyFile(Resource):
    """The file of an account's keys, below root's folder."""

    user: str

    @property
    def path(self) -> str:
        return f"{KEY_FOLDER}/{self.user}"

    def owns(self) -> tuple[str, ...]:
        return (self.path,)


class AuthorizedKeys(_KeyFile):
    """Exactly these public keys open an account, from a file that root alone can write.

    `keys` are those of keys/USER, `github` those accepted from there. What was revoked since
    is left out: the list is read again right before and after the file is written.
    ssh-keygen judges them before they land: Refused where it reads other keys than we do.
    """

    keys: tuple[Key, ...] = ()
    github: tuple[Key, ...] = ()
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"

    def check(self, host: HostReader) -> Changes:
        found, text = host.read(self.path), self._text(host)
        if not text:
            nobody: frozenset[str] = frozenset()
            keys = (_before(found, nobody), nobody)
            return () if found is None else compare(keys=keys)
        changes = access(host, host.stat(self.path), self.owner, self.group, self.mode)
        if found == text:
            return changes
        wanted = frozenset(map(str, self._sources(host)))
        host.refuse_unreachable(self.path)
        if host.fingerprints(text) != {key.fingerprint for key in self._sources(host)}:
            raise Refused(
                f"ssh-keygen does not read the keys of {self.user} as this tool does",
                hint=f"ssh-keygen -l -f keys/{self.user}",
            )
        return compare(keys=(_before(found, wanted), wanted)) + changes

    def apply(self, host: Host, changes: Changes) -> None:
        text = None
        while text != self._text(host):  # somebody was revoked meanwhile
            text = self._text(host)
            if text:
                host.write(self.path, text, self.mode, self.owner, self.group)
            else:
                host.remove(self.path)

    def _sources(self, host: HostReader) -> dict[Key, str]:
        """Each key with where it is from, without what was revoked."""
        if self.user in revoked.names(host):
            return {}
        sources = dict.fromkeys(self.github, "github")
        sources.update(dict.fromkeys(self.keys, f"keys/{self.user}"))
        left = without(sources, revoked.fingerprints(host))
        return {key: sources[key] for key in left}

    def _text(self, host: HostReader) -> str:
        found = self._sources(host).items()
        return "".join(key.line(self.user, source) for key, source in found)


class OnlyTheseKeys(Directory):
    """The folder of keys is root's, and has files for nobody but these accounts."""

    users: frozenset[str] = frozenset()

    def check(self, host: HostReader) -> Changes:
        strangers = compare(users=(self.users | self._others(host), self.users))
        if strangers:
            host.refuse_unreachable(self.path)
        return super().check(host) + strangers

    def apply(self, host: Host, changes: Changes) -> None:
        super().apply(host, changes)
        for name in self._others(host):
            host.remove(f"{self.path}/{name}")

    def _others(self, host: HostReader) -> frozenset[str]:
        return frozenset(host.names(self.path)) - self.users


class NoOtherKeys(_KeyFile):
    """Of the keys that open an account, all are among these; none is added."""

    keys: frozenset[Key]

    def check(self, host: HostReader) -> Changes:
        found = in_text(host.read(self.path) or "")
        left = frozenset(str(key) for key in found if key in self.keys)
        return compare(keys=(frozenset(map(str, found)), left))

    def apply(self, host: Host, changes: Changes) -> None:
        lines = (host.read(self.path) or "").splitlines(keepends=True)
        left = [line for line in lines if self.keys.intersection(in_text(line))]
        if left:
            host.write(self.path, "".join(left), 0o644)
        else:
            host.remove(self.path)


def _before(text: str | None, wanted: frozenset[str]) -> frozenset[str] | None:
    if text is None:
        return None
    found = frozenset(map(str, in_text(text)))
    return found if found != wanted else found | {"lines written otherwise"}
