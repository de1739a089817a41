"""sshd's configuration as sshd reads it: which line decides, and where it stands."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import Callable, Iterator, NamedTuple, Tuple


MAIN = "/etc/ssh/sshd_config"
DROP_INS = "/etc/ssh/sshd_config.d"
OURS = f"{DROP_INS}/00-opensafely.conf"

Read = Callable[[str], "str | None"]
Names = Callable[[str], Tuple[str, ...]]


@dataclass(frozen=True)
class Setting:
    """A line of sshd_config(5), `keyword` in lower case; `match` is its Match line's condition."""

    keyword: str
    value: str
    match: str
    source: str
    line: int

    def __str__(self) -> str:
        return f"{self.source}:{self.line}: {self.keyword} {self.value}"


class Login(NamedTuple):
    """Somebody who comes by ssh, with the groups in which sshd will find them."""

    name: str
    groups: frozenset[str]

    def __str__(self) -> str:
        return self.name


def settings(read: Read, names: Names) -> Iterator[Setting]:
    """Every line in the order in which sshd meets them; of most keywords the first one counts."""
    yield from _file(MAIN, read, names, match="")


def includes_drop_ins(read: Read) -> bool:
    """Whether the main file reads sshd_config.d before any setting of its own."""
    for line in (read(MAIN) or "").splitlines():
        keyword, value = _split(line)
        if keyword == "include" and value in (
            f"{DROP_INS}/*.conf",
            "sshd_config.d/*.conf",
        ):
            return True
        if keyword:
            return False
    return False


def _file(source: str, read: Read, names: Names, match: str) -> Iterator[Setting]:
    for number, line in enumerate((read(source) or "").splitlines(), start=1):
        keyword, value = _split(line)
        if keyword == "match":
            # The scope of a Match ends with the file that it stands in.
            match = "" if value.lower() == "all" else value
        elif keyword == "include":
            for path in _included(value, names):
                yield from _file(path, read, names, match)
        elif keyword:
            yield Setting(keyword, value, match, source, number)


def _split(line: str) -> tuple[str, str]:
    """Keyword and value: sshd takes blanks or one = between them, and quotes around."""
    words = line.replace("=", " ", 1).split(None, 1) if line.strip() else []
    if not words or words[0].startswith("#"):
        return "", ""
    return words[0].lower(), words[1].strip().strip('"') if words[1:] else ""


def _included(value: str, names: Names) -> Iterator[str]:
    for pattern in value.split():
        path = pattern if pattern.startswith("/") else f"/etc/ssh/{pattern}"
        folder, _, last = path.rpartition("/")
        for name in sorted(names(folder)):
            hidden = name.startswith(".") and not last.startswith(".")
            if fnmatch.fnmatchcase(name, last) and not hidden:
                yield f"{folder}/{name}"


def shuts_out(setting: Setting, user: str, groups: frozenset[str]) -> bool:
    """Whether a Deny or Allow line, taken alone, keeps this user from logging in."""
    patterns = [word.partition("@")[0] for word in setting.value.split()]
    names = frozenset({user}) if setting.keyword.endswith("users") else groups
    hit = any(fnmatch.fnmatchcase(name, p) for name in names for p in patterns)
    if setting.keyword in ("denyusers", "denygroups"):
        return hit
    return setting.keyword in ("allowusers", "allowgroups") and not hit


def daemon_options(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """The -o options of a running sshd's argv: they count more than any file."""
    options: list[str] = []
    for here, following in zip(arguments, (*arguments[1:], "")):
        if here == "-o":
            options.append(following)
        elif here.startswith("-o"):
            options.append(here[2:])
    return tuple(options)
