"""What besides its configuration makes sshd keep somebody out, and how it is told otherwise."""

from __future__ import annotations

import re
from typing import Iterator

from backend_server.engine.in_force import lines_of
from backend_server.host.reader import HostReader


_ACCESS = "/etc/security/access.conf"
_PAM = ("/etc/pam.d/sshd", "/etc/pam.d/common-account")


def reasons(host: HostReader, name: str) -> Iterator[tuple[str, str]]:
    """What keeps an account of ours out that comes from this host, with a command that ends it."""
    for path in ("/etc/nologin", "/run/nologin"):
        if host.stat(path):
            yield f"{path} is there, so PAM lets in root alone", f"rm {path}"
    for where, line in lines_of(host, ["/etc/hosts.deny"]):
        if re.match(r"(ALL|.*\bsshd\b.*?) *:", line):
            yield f"{where}: {line}", "echo 'sshd: 127. [::1]' >> /etc/hosts.allow"
    if any("pam_access.so" in line for _, line in lines_of(host, _PAM)):
        for where, line in lines_of(host, [_ACCESS]):
            if line.startswith("-"):
                yield f"{where}: {line}", f"sed -i '1i +:{name}:ALL' {_ACCESS}"
