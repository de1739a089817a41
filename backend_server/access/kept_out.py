"""What besides its configuration makes sshd keep somebody out, and how it is told otherwise."""

from __future__ import annotations

import re
from typing import Iterable, Iterator

from backend_server.engine.in_force import lines_of
from backend_server.host import HostReader


_ACCESS = "/etc/security/access.conf"
_PAM = ("/etc/pam.d/sshd", "/etc/pam.d/common-account")


def reasons(host: HostReader, name: str) -> Iterator[tuple[str, str]]:
    """What keeps an account of ours out that comes from this host, with a command that ends it."""
    for _, why, mends in _of_pam(host, [name]):
        yield why, mends
    for where, line in lines_of(host, ["/etc/hosts.deny"]):
        if re.match(r"(ALL|.*\bsshd\b.*?) *:", line):
            yield f"{where}: {line}", "echo 'sshd: 127. [::1]' >> /etc/hosts.allow"


def shut(host: HostReader, developers: Iterable[str]) -> Iterator[str]:
    """A sentence where PAM lets developers in no more, wherever they come from."""
    for name, why, mends in _of_pam(host, [*developers]):
        if re.search(r" alone$|: *ALL$", why):  # and not from some places only
            yield f"{name} does not come in by ssh: {why}; try: {mends}"


def _of_pam(host: HostReader, names: list[str]) -> Iterator[tuple[str, str, str]]:
    for path in filter(host.stat, ("/etc/nologin", "/run/nologin")):
        for name in names:
            yield name, f"{path} is there, so PAM lets in root alone", f"rm {path}"
    asked = any("pam_access.so" in line for _, line in lines_of(host, _PAM))
    for name in names if asked else ():
        who = {"ALL", name, *host.groups_of(name)}
        for where, line in lines_of(host, [_ACCESS]):
            mark, users, origins = (*line.replace(" :", ":").split(":", 2), "", "")[:3]
            named, _, but = users.partition("EXCEPT")
            if _among(named, who) and not _among(but, who):
                if mark == "-" and origins.strip() != "LOCAL":
                    mends = f"sed -i '1i +:{name}:ALL' {_ACCESS}"
                    yield name, f"{where}: {line}", mends
                break  # the first line counts


def _among(words: str, who: set[str]) -> bool:
    return not who.isdisjoint(re.split(r"[\s,()]+", words))
