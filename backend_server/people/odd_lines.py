"""Lines in the files of accounts that glibc passes over, and so does all of this tool."""

from __future__ import annotations

from typing import Callable, Iterator, Sized

from backend_server.host import HostReader
from backend_server.text import parsers


_FILES: dict[str, tuple[Callable[[str], Sized], str]] = {
    "/etc/passwd": (parsers.parse_passwd, "pwck"),
    "/etc/shadow": (parsers.parse_shadow, "pwck"),
    "/etc/group": (parsers.parse_group, "grpck"),
    "/etc/gshadow": (parsers.parse_gshadow, "grpck"),
    "/etc/subuid": (parsers.parse_subids, "sed -i {}d /etc/subuid"),
    "/etc/subgid": (parsers.parse_subids, "sed -i {}d /etc/subgid"),
}


def notes(host: HostReader) -> Iterator[str]:
    """A sentence for each, with what mends it: none of them is ours to edit."""
    for path, (parse, mends) in _FILES.items():
        lines = (host.read(path) or "").rstrip("\n").split("\n")
        if len(host.parsed(path, parse)) < len(lines):
            for number, why in _odd(lines, parse):
                yield f"line {number} of {path} {why}: `{mends.format(number)}`"


def _odd(lines: list[str], parse: Callable[[str], Sized]) -> Iterator[tuple[int, str]]:
    first: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        found = parse(line)
        if not found and line.lstrip()[:1] not in ("", "#", "+", "-"):
            yield number, "cannot be read, and is passed over"
        for name in found if isinstance(found, dict) else ():
            if first.setdefault(name, number) != number:
                yield number, f"is about {name}, as line {first[name]} is, which counts"
