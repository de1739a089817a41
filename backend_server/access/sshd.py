"""sshd's configuration as sshd reads it: which line decides, and where it stands."""

from __future__ import annotations

import fnmatch
import re
import shlex
from typing import Callable, Iterator, NamedTuple, Tuple

from backend_server.text.errors import Refused
from backend_server.text.frozen import Frozen


MAIN = "/etc/ssh/sshd_config"
DROP_INS = "/etc/ssh/sshd_config.d"
OURS = f"{DROP_INS}/00-opensafely.conf"
REVOKED_KEYS = "/etc/ssh/opensafely_revoked_keys"
_ALL_DROP_INS = (f"{DROP_INS}/*.conf", "sshd_config.d/*.conf")

_DEPTH = 16  # SERVCONF_MAX_DEPTH of sshd

Read = Callable[[str], "str | None"]
Names = Callable[[str], Tuple[str, ...]]


class Setting(Frozen):
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
    yield from _file(MAIN, read, names, match="", depth=0)


def includes_drop_ins(read: Read) -> bool:
    """Whether the main file reads sshd_config.d before any setting of its own."""
    for line in (read(MAIN) or "").splitlines():
        keyword, value = _split(line)
        if keyword:
            return keyword == "include" and value in _ALL_DROP_INS
    return False


def _file(
    source: str, read: Read, names: Names, match: str, depth: int
) -> Iterator[Setting]:
    if depth > _DEPTH:
        raise Refused(
            f"{source} is included by itself, or too deeply; sshd would not start",
            hint=f"grep -rni include {MAIN} {DROP_INS}",
        )
    for number, line in enumerate((read(source) or "").splitlines(), start=1):
        keyword, value = _split(line)
        if keyword == "match":
            # The scope of a Match ends with the file that it stands in.
            match = "" if value.lower() == "all" else value
        elif keyword == "include":
            for path in _included(value, names):
                yield from _file(path, read, names, match, depth + 1)
        elif keyword:
            yield Setting(keyword, value, match, source, number)


_QUOTES = frozenset("\"'\\#")
_LINE = re.compile(r"\s*([A-Za-z0-9]+)(?:\s*=\s*|\s+)(.*)")


def _split(line: str) -> tuple[str, str]:
    """Keyword and value: sshd takes blanks or one = between them, quotes, and comments."""
    found = _LINE.match(line)
    if not found:
        return "", ""
    keyword, rest = found.groups()
    try:
        plain = rest.isascii() and rest.isprintable() and _QUOTES.isdisjoint(rest)
        words = rest.split() if plain else shlex.split(rest, comments=True)
    except ValueError:
        # A quote without its end: sshd refuses the line, and so do we later.
        words = [rest]
    return keyword.lower(), " ".join(words)


def _included(value: str, names: Names) -> Iterator[str]:
    for pattern in value.split():
        path = pattern if pattern.startswith("/") else f"/etc/ssh/{pattern}"
        folder, _, last = path.rpartition("/")
        for name in sorted(names(folder)):
            hidden = name.startswith(".") and not last.startswith(".")
            if fnmatch.fnmatchcase(name, last) and not hidden:
                yield f"{folder}/{name}"


def shuts_out(setting: Setting, user: str, groups: frozenset[str]) -> bool:
    """Whether a Deny or Allow line, taken alone, keeps this user from logging in.

    In these lists sshd tries one pattern after the other: a `!` negates nothing.
    """
    names = frozenset({user}) if setting.keyword.endswith("users") else groups
    patterns = [word.partition("@")[0] for word in setting.value.split()]
    hit = any(fnmatch.fnmatchcase(name, p) for name in names for p in patterns)
    if setting.keyword in ("denyusers", "denygroups"):
        return hit
    return setting.keyword in ("allowusers", "allowgroups") and not hit


def daemon_options(line: str) -> tuple[str, ...]:
    """The -o options of a command line of sshd, in which blanks may stand for quoted ones.

    A value goes on until the next option, what sshd says of itself in [brackets], or the
    semicolon with which systemctl show ends an argv.
    """
    options: list[list[str]] = []
    inside = False
    for word in line.split():
        if word.startswith("-o"):
            options.append([word[2:]] if word[2:] else [])
            inside = True
        elif word.startswith(("-", "[", ";", "}")):
            inside = False
        elif inside:
            options[-1].append(word)
    return tuple(" ".join(words) for words in options if words)
