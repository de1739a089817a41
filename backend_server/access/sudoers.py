"""Who may become whom with sudo, and who may ask su(1) for anything."""

from __future__ import annotations

import os
import re
from typing import Iterator

from backend_server.engine import Changes, Refused, Resource, UserError, compare
from backend_server.host import Host, HostReader, undo
from backend_server.resources.file import File


_MAIN = "/etc/sudoers"
_DROP_INS = "/etc/sudoers.d"
_INCLUDE = re.compile(r"(?m)^[ \t]*[@#]include(dir)?[ \t]+\"?([^\"\n]*[^\"\s])")
_DEPTH = 16


def files(host: HostReader, path: str = _MAIN, depth: int = 0) -> Iterator[str]:
    """What sudo reads, in its order; folders too, which may hold one that it would read."""
    yield path
    for folder, named in _INCLUDE.findall(host.read(path) or ""):
        named = named.replace("%h", os.uname().nodename.partition(".")[0])
        named = os.path.normpath(os.path.join(os.path.dirname(path), named))
        if folder:
            yield named
        names = [n for n in host.names(named) if "." not in n and n[-1:] != "~"]
        for each in (f"{named}/{n}" for n in names) if folder else (named,):
            if depth < _DEPTH:
                yield from files(host, each, depth + 1)


class Sudoers(File):
    """A file of rules below sudoers.d, read by sudo, valid alone and with all other files.

    Where it does not fit the others the old file comes back. Refused where the rules that are
    here already are broken: an old sudo then lets nobody in at all.
    """

    mode: int = 0o440
    validate: tuple[str, ...] = ("visudo", "-cf")

    def check(self, host: HostReader) -> Changes:
        changes = super().check(host)
        # A run that was killed had just written it.
        if not changes and undo.kept(host, self.path):
            changes = compare(text=("not yet proven", "valid among all files"))
        if host.stat(_MAIN) and changes:
            if _DROP_INS not in files(host):
                raise Refused(
                    f"{_MAIN} does not include {_DROP_INS}, so no rule would be read",
                    hint=f"echo '#includedir {_DROP_INS}' >> {_MAIN}",
                )
            said = host.visudo_check()
            if said and self.path not in said:
                raise Refused("sudo's rules that are here already are broken", said)
        return changes

    def apply(self, host: Host, changes: Changes) -> None:
        undo.keep(host, self.path)
        super().apply(host, changes)
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


_SU = "/etc/pam.d/su"


class SuOnlyFor(Resource):
    """su(1) asks for a password of the members of one group only; root needs none.

    The line stands right after root's, so that others are refused before any question. su has
    a file of its own, which no profile reaches.
    """

    group: str

    @property
    def _line(self) -> str:
        return f"auth requisite pam_wheel.so use_uid group={self.group}"

    def owns(self) -> tuple[str, ...]:
        return (_SU,)

    def at_stake(self) -> tuple[str, ...]:
        return (_SU,)

    def check(self, host: HostReader) -> Changes:
        lines = (host.read(_SU) or "").splitlines()
        found = [" ".join(line.split()) for line in lines if _is(line, "pam_wheel.so")]
        return compare(group=("; ".join(found) or None, self._line))

    def apply(self, host: Host, changes: Changes) -> None:
        lines = (host.read(_SU) or "").splitlines()
        lines = [line for line in lines if not _is(line, "pam_wheel.so")]
        root = [n for n, line in enumerate(lines) if _is(line, "pam_rootok.so")]
        lines.insert(root[0] + 1 if root else 0, self._line)
        host.write(_SU, "\n".join(lines) + "\n", 0o644)


def _is(line: str, module: str) -> bool:
    return module in line.split() and not line.startswith("#")
