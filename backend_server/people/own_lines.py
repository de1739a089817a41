"""An account's lines, where the programs that write them will not, as other lines are bad."""

from __future__ import annotations

import fcntl
import stat
from typing import Callable, Iterable

from backend_server.host import Host
from backend_server.text.parsers import BLANKS


_LOCK = "/etc/.pwd.lock"  # of lckpwdf(3), which all heed that write these files


def shut(host: Host, name: str) -> None:
    """One line in shadow(5), and the first: no password, and over since 1970."""

    def first(lines: list[str]) -> list[str]:
        others = (line for line in lines if _row(line)[0] != name)
        return [f"{name}:!::::::0:", *others]

    _rewrite(host, "/etc/shadow", first)


def leave(host: Host, name: str, groups: Iterable[str]) -> None:
    """In no line of these groups; whatever else a line says stays."""

    def without(lines: list[str]) -> list[str]:
        return [_without(n, name) if _row(n)[0] in groups else n for n in lines]

    for path in ("/etc/group", "/etc/gshadow"):
        _rewrite(host, path, without)


def _without(line: str, name: str) -> str:
    """The last two fields are lists of names."""
    row = line.split(":")
    lists = ([n for n in f.split(",") if n.strip(BLANKS) != name] for f in row[2:])
    return ":".join([*row[:2], *map(",".join, lists)])


def _row(line: str) -> list[str]:
    return line.lstrip(BLANKS).split(":")


def _rewrite(host: Host, path: str, change: Callable[[list[str]], list[str]]) -> None:
    """Raises OSError where somebody else is at these files, as with vipw(8)."""
    with open(_LOCK, "a") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        text, found = host.read(path), host.stat(path)
        if text is not None and found is not None:
            mode, group = stat.S_IMODE(found.st_mode), host.group_name(found.st_gid)
            host.write(path, "\n".join(change(text.split("\n"))), mode, group=group)
