"""A file as it was before a change that could cut the line, until that change is proven."""

from __future__ import annotations

import json
import stat

from backend_server.host.reader import HostReader
from backend_server.host.writer import Host


FOLDER = "/var/lib/opensafely/undo"


def keep(host: Host, path: str) -> None:
    """PATH can be brought back as it is now; a copy that a killed run kept is older and stays."""
    if kept(host, path):
        return
    found = host.stat(path)
    mode = stat.S_IMODE(found.st_mode) if found else None
    host.write(_copy(path), json.dumps({"text": host.read(path), "mode": mode}), 0o600)


def kept(host: HostReader, path: str) -> bool:
    """Whether a change of PATH has yet to prove itself: a run was killed before it had."""
    return host.stat(_copy(path)) is not None


def bring_back(host: Host, path: str) -> None:
    """PATH is as it was when it was kept: with its old text, or not there."""
    text = host.read(_copy(path))
    if text is None:
        return
    was = json.loads(text)
    if was["text"] is not None:
        host.write(path, was["text"], was["mode"])
    elif host.stat(path):
        host.remove(path)
    forget(host, path)


def forget(host: Host, path: str) -> None:
    """The change has proven itself."""
    if kept(host, path):
        host.remove(_copy(path))


def _copy(path: str) -> str:
    return f"{FOLDER}/{path.strip('/').replace('/', '%')}"
