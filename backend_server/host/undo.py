"""Files as they were before a change that could cut the line, until that change is proven.

A resource keeps its own file, alone, until it has proven the change itself. A run keeps all
that it puts at stake, together, until somebody has come in: those come back as one.
"""

from __future__ import annotations

import json
import stat
from typing import Iterable, Mapping

from backend_server.host.reader import HostReader
from backend_server.host.writer import Host


FOLDER = "/var/lib/opensafely/undo"
# One file each: all is kept, or nothing.
TOGETHER = "/var/lib/opensafely/unconfirmed"  # ways in, until a login
TRIAL = "/var/lib/opensafely/on-trial"  # a service's, until its image is proven
AT_BOOT = "opensafely-undo-at-boot.service"  # brings back both, where nobody else will

State = Mapping[str, object]  # text and mode, both None where no file is


def keep(host: Host, path: str) -> None:
    """PATH can be brought back as it is now; a copy that a killed run kept is older and stays."""
    if not kept(host, path):
        host.write(_copy(path), json.dumps(_state(host, path)), 0o600)


def kept(host: HostReader, path: str) -> bool:
    """Whether a change of PATH has yet to prove itself: a run was killed before it had."""
    return host.stat(_copy(path)) is not None


def bring_back(host: Host, path: str) -> None:
    """PATH is as it was when it was kept: with its old text, or not there."""
    text = host.read(_copy(path))
    if text is None:
        return
    _restore(host, path, json.loads(text))
    forget(host, path)


def forget(host: Host, path: str) -> None:
    """The change has proven itself."""
    host.remove(_copy(path))


def keep_together(host: Host, paths: Iterable[str], at: str = TOGETHER) -> None:
    """As keep, for files that come back together with all that are kept so already."""
    found = _together(host, at)
    new = {path: _state(host, path) for path in paths if path not in found}
    host.write(at, json.dumps({**new, **found}), 0o600)


def kept_together(host: HostReader, at: str = TOGETHER) -> tuple[str, ...]:
    """The files that were put at stake, and nobody has confirmed yet."""
    return tuple(_together(host, at))


def differing(host: HostReader, at: str = TOGETHER) -> tuple[str, ...]:
    """Of the files that are kept together, those that are another by now."""
    found = _together(host, at)
    return tuple(sorted(p for p, was in found.items() if _state(host, p) != was))


def bring_back_together(host: Host, at: str = TOGETHER) -> None:
    """Each is as it was. They stay kept, for whoever reads them has yet to notice."""
    found = _together(host, at)
    for path in differing(host, at):
        _restore(host, path, found[path])


def forget_together(host: Host, at: str = TOGETHER) -> None:
    """The change is confirmed, or undone."""
    host.remove(at)


def _together(host: HostReader, at: str) -> dict[str, State]:
    found: dict[str, State] = json.loads(host.read(at) or "{}")
    return found


def _state(host: HostReader, path: str) -> State:
    found = host.stat(path)
    mode = stat.S_IMODE(found.st_mode) if found else None
    return {"text": host.read(path), "mode": mode}


def _restore(host: Host, path: str, was: State) -> None:
    """As root's, whoever had it: anybody else who can change such a file is root."""
    text, mode = was["text"], was["mode"]
    if isinstance(text, str) and isinstance(mode, int):
        host.write(path, text, mode)
    else:
        host.remove(path)


def _copy(path: str) -> str:
    return f"{FOLDER}/{path.strip('/').replace('/', '%')}"
