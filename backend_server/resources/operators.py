"""Files whose text is the operator's, and what is made there once."""

from __future__ import annotations

import os
import stat

from backend_server.checkout import env
from backend_server.checkout.service import SECRETS
from backend_server.engine import AtPath, Host, HostReader, Resource
from backend_server.resources.file import access
from backend_server.text.change import Change, Changes, compare


class OperatorsFile(AtPath):
    """A file that is root's alone. What it says is the operator's: never changed, never shown.

    Where there is none it begins with this header. One that others could read is closed, and
    a line says so: its secrets may be known.
    """

    header: str
    mode: int = 0o600
    owner: str = "root"
    group: str = "root"

    def check(self, host: HostReader) -> Changes:
        found = host.stat(self.path)
        if found is not None and not stat.S_ISREG(found.st_mode):
            raise self.in_the_way("is there and is no file")
        changes = compare(header=(None, None if found else self.header))
        changes += access(host, found, self.owner, self.group, self.mode)
        if changes:
            host.refuse_unreachable(self.path)
        return tuple(map(_alarming, changes))

    def apply(self, host: Host, changes: Changes) -> None:
        if host.stat(self.path) is None:
            host.write(self.path, self.header, self.mode, self.owner, self.group)
            return
        host.set_access(self.path, self.mode, self.owner, self.group)


class SecretKey(Resource):
    """This name has a value in 02_secrets.env. Made here where it has none, it then stays."""

    name: str
    state: str = "set"

    def check(self, host: HostReader) -> Changes:
        there = env.parse("", host.read(SECRETS) or "")[0].get(self.name)
        return () if there else compare(state=(None, self.state))

    def apply(self, host: Host, changes: Changes) -> None:
        text = host.read(SECRETS) or ""
        host.write(SECRETS, env.assigned(text, self.name, os.urandom(48).hex()), 0o600)


def _alarming(change: Change) -> Change:
    """The plan, the run and the history say what an open file may have cost."""
    was = change.before if change.field == "mode" else None
    if not isinstance(was, str) or not int(was, 8) & 0o077:
        return change
    warning = f"{was}, open to others: its secrets may be known, replace them"
    return change._replace(before=warning)
