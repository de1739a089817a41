"""What a person should know of the people here, and of those who were before it becomes ours."""

from __future__ import annotations

from os.path import commonprefix
from typing import Iterable, Iterator

from backend_server.access.sshd import OURS
from backend_server.checkout.gather import Site, developers, everybody, last_developers
from backend_server.host import HostReader
from backend_server.people import odd_lines
from backend_server.people.offers import Verdict
from backend_server.text.roles import MARKER, ROLES


# Short names that differ in a letter are mostly two people: ada and ida, james and games.
_ONE_MORE = 5
_ANOTHER = 7

_PAIRS = (("-", ""), ("_", ""), ("rn", "m"), ("vv", "w"))
_LETTERS = str.maketrans("1i052", "llosz")


def remarks(site: Site, host: HostReader, verdict: Verdict) -> Iterator[str]:
    """Sentences: names that look alike, keys that are left out, and ways in that hang by one key."""
    yield from odd_lines.notes(host)
    yield from of_lookalikes(site, host)
    yield from _of_others(site, host)
    for name, left_out in sorted(verdict.left_out.items()):
        for why in left_out:
            yield f"{name} has a key at GitHub that is not let in: {why}"
    none = sorted(name for name in everybody(site.people) if not _keys(site, name))
    if none:
        yield f"no key at all: {', '.join(none)}; nobody can log in as them"
    single = sorted(e.name for e in developers(site) if _keys(site, e.name) == 1)
    if single:
        yield f"one key only: {', '.join(single)}; who loses it cannot log in any more"
    last = sorted(last_developers(site))
    if last:
        yield (
            f"every developer has an end date; {', '.join(last)} will keep access beyond the "
            "last one, as nobody else could look after this host"
        )
    if host.person() == "root" and "root" not in site.backend.provider_accounts:
        yield "you logged in as root, which over ssh is not possible after this run"


def _keys(site: Site, name: str) -> int:
    return len({*site.keys.get(name, ()), *site.github.get(name, ())})


def shut_out(site: Site, host: HostReader) -> Iterator[tuple[str, bool]]:
    """Who logs in today, and over ssh will not any more; and whether sudo makes them root."""
    if host.stat(OURS):
        return
    from backend_server.people import reach

    stay = {"root", *site.backend.provider_accounts, *everybody(site.people)}
    for user in host.users().values():
        shadow = host.shadow().get(user.name)
        by_password = shadow and not (shadow.locked or shadow.never_set)
        comes = by_password or host.stat(f"{user.home}/.ssh/authorized_keys")
        shut = user.name in stay or user.shell.endswith(("/nologin", "/false"))
        if comes and not shut:
            there = host.stat("/usr/bin/sudo") is not None
            yield user.name, there and reach.becomes_root(host, user.name)


def _of_others(site: Site, host: HostReader) -> Iterator[str]:
    for name, root in shut_out(site, host):
        more = ", though sudo lets them become root" if root else ""
        yield f"{name} logs in here today, and over ssh will not after this run{more}"
    here = {role.group for role in ROLES}.intersection(host.groups())
    for group in sorted(here) if MARKER not in host.groups() else ():
        them = " ".join(sorted(host.members(group))) or "nobody"
        yield f"the group {group}, which becomes ours, was here before, with {them} in it"


# ---- names that a tired person takes for one another


def of_lookalikes(site: Site, host: HostReader) -> Iterator[str]:
    """A sentence for each name that gets an account of ours and looks like one that is known."""
    accounts, roster = host.users().keys(), everybody(site.people)
    new = roster - (host.members(MARKER) & accounts)
    for name, other in lookalikes(new, roster | accounts):
        who = "has an account here" if other in accounts else "is on a roster too"
        yield f"{name} looks like {other}, who {who}: is it really somebody else?"


def lookalikes(new: Iterable[str], others: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each new name with the other ones it could be read as; two new ones are one pair."""
    new = frozenset(new)
    seen = {name: _seen(name) for name in sorted(new.union(others))}
    for name in sorted(new):
        for other in seen:
            told = other in new and other < name
            if name != other and not told and _alike(seen[name], seen[other]):
                yield name, other


def _seen(name: str) -> str:
    """What the eye makes of a name."""
    name = name.lower()
    for what, as_ in _PAIRS:
        name = name.replace(what, as_)
    return name.translate(_LETTERS)


def _alike(one: str, other: str) -> bool:
    """Equal, or in longer names a letter more, two swapped or, longer still, another one."""
    shorter = min(len(one), len(other))
    if one == other or shorter < _ONE_MORE or abs(len(one) - len(other)) > 1:
        return one == other
    start = len(commonprefix((one, other)))
    one, other = one[start:], other[start:]
    end = len(commonprefix((one[::-1], other[::-1])))
    one, other = one[: len(one) - end], other[: len(other) - end]
    more = len(one) + len(other) == 1
    swapped = len(one) == 2 and one == other[::-1]
    another = len(one) == len(other) == 1 and shorter >= _ANOTHER
    return more or swapped or another
