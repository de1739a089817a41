"""What is in force, whoever wrote it: asked of what decides, and kept until something changes."""

from __future__ import annotations

import hashlib
from typing import Iterable, Iterator

from backend_server.engine.resource import Resource
from backend_server.host import HostReader
from backend_server.text.change import Changes
from backend_server.text.errors import Refused


PROOFS = "/var/lib/opensafely/proofs"


class InForce(Resource):
    """What decides was asked, and said what is wanted, with all that it goes by as it is now.

    It is asked only when something of that is not what it was at the last proof. `changed_by`
    are the labels of the resources that write such files: while one of them is yet to be
    written, no answer would count.
    """

    program: str
    changed_by: tuple[str, ...] = ()

    def goes_by(self, host: HostReader) -> Iterator[str]:
        """Everything that the answer depends on: paths of files and folders, and other facts."""
        raise NotImplementedError

    def foretold(self, host: HostReader) -> Refused | None:
        """What can be seen to go wrong before there is anything to ask."""
        return None

    def objection(self, host: HostReader) -> Refused | None:
        """Asks, and says what is not as wanted."""
        raise NotImplementedError

    @property
    def _proof(self) -> str:
        return f"{PROOFS}/{self.program.replace('/', '-')}"

    def stands_alone(self) -> bool:
        """What others wrote holds nothing of ours up."""
        return True

    def check(self, host: HostReader) -> Changes:
        """Never a change: what decides is content, or what is not as wanted is raised."""
        planned = any(host.planned(label) for label in self.changed_by)
        found = "" if planned else self._digest(host)
        if found and host.read(self._proof) == found:
            return ()
        wrong = self.foretold(host) if planned else self.objection(host)
        if wrong:
            raise wrong
        if found:
            host.to_keep[self._proof] = found
        return ()

    def _digest(self, host: HostReader) -> str:
        digest = hashlib.sha256()
        for part in self.goes_by(host):
            digest.update(part.encode("utf-8", "surrogateescape") + b"\0")
            if not part.startswith("/"):
                continue
            for path in (part, *(f"{part}/{name}" for name in host.names(part))):
                at = host.stat(path)
                seen = f"{path} {at.st_mode:o} {at.st_uid}" if at else path
                text = f"{seen}\0{host.read(path) or ''}\0"
                digest.update(text.encode("utf-8", "surrogateescape"))
        return digest.hexdigest() + "\n"


def lines_of(host: HostReader, paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each line of these files and of those in these folders, less what is a comment: where, what."""
    for path in paths:
        for file in (path, *(f"{path}/{name}" for name in host.names(path))):
            for number, line in enumerate((host.read(file) or "").split("\n"), 1):
                bare = line.lstrip()
                if bare[:1] not in ("", "#", ";", "/") or bare[:6] == "#clear":
                    yield f"{file}:{number}", " ".join(line.split())
