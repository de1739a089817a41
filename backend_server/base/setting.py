"""Single settings in a file that others own too."""

from __future__ import annotations

import re

from backend_server.engine.resource import Resource
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.text.change import Changes, compare


LOGIN_DEFS = "/etc/login.defs"


class LoginDefs(Resource):
    """A setting of login.defs(5) has this value; every other line stays as it is."""

    name: str
    value: str

    def check(self, host: HostReader) -> Changes:
        text = host.read(LOGIN_DEFS) or ""
        values = [match.group(1) for match in self._line.finditer(text)]
        return compare(value=(values[-1] if values else None, self.value))

    def apply(self, host: Host, changes: Changes) -> None:
        text = host.read(LOGIN_DEFS) or ""
        line = f"{self.name}\t{self.value}"
        text, replaced = self._line.subn(line, text)
        if not replaced:
            text += f"{line}\n" if text.endswith("\n") or not text else f"\n{line}\n"
        host.write(LOGIN_DEFS, text, 0o644)

    @property
    def _line(self) -> re.Pattern[str]:
        return re.compile(rf"^[ \t]*{self.name}[ \t]+(\S+).*$", re.MULTILINE)


NSSWITCH = "/etc/nsswitch.conf"


class NameSources(Resource):
    """A database of nsswitch.conf(5) is looked up in these sources, in this order."""

    database: str
    sources: tuple[str, ...]

    def check(self, host: HostReader) -> Changes:
        found = self._line.search(host.read(NSSWITCH) or "")
        words = tuple(found.group(1).split()) if found else ()
        return compare(sources=(" ".join(words), " ".join(self.sources)))

    def apply(self, host: Host, changes: Changes) -> None:
        text = host.read(NSSWITCH) or ""
        line = f"{self.database}: {' '.join(self.sources)}\n"
        host.write(NSSWITCH, self._line.sub("", text) + line, 0o644)

    @property
    def _line(self) -> re.Pattern[str]:
        return re.compile(rf"^[ \t]*{self.database}:([^#\n]*).*\n?", re.MULTILINE)
