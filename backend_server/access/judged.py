"""Which passwords PAM takes, by trying some on a copy of the files that would change."""

from __future__ import annotations

import re
from typing import Iterator

from backend_server.engine.in_force import InForce, lines_of
from backend_server.host import HostReader
from backend_server.text.errors import Refused


# Of a profile that it has seen it leaves out what is not there.
_ANEW = "sed -i /^pwquality/d /var/lib/pam/seen; pam-auth-update --package --force"
_CONF = "/etc/security/pwquality.conf"
_STACK = "/etc/pam.d/common-password"
# Too short, of three kinds only, a word; and one that must do.
_WEAK = ("aB3-eF6+hI9", "gjqmWxkz7vbtrNphdlc", "Password123456!")
_STRONG = "Plum7-Kettle_Orbit"
_RULES = r"(minlen|minclass|dictcheck|enforcing|[dulo]credit|dictpath)\s*="


class Judged(InForce):
    """PAM takes a strong password for this account, and no weak one, though root sets it.

    pwquality.conf counts more than the files in its folder, and what stands in PAM's own line
    more than both.
    """

    account: str = ""
    ours: str = ""

    def goes_by(self, host: HostReader) -> Iterator[str]:
        yield from ("/etc/pam.d/chpasswd", _STACK, _CONF, f"{_CONF}.d")
        yield str(host.packages().get("libpam-pwquality"))
        yield str(host.users().get(self.account))

    def objection(self, host: HostReader) -> Refused | None:
        taken = host.passwords_taken(self.account, (*_WEAK, _STRONG))
        if taken == [_STRONG]:
            return None
        lines = [
            (where, line)
            for where, line in lines_of(host, (f"{_CONF}.d", _CONF, _STACK))
            if re.search(_RULES, line) and where.partition(":")[0] != self.ours
        ]
        places = (where.split(":") for where, _ in lines)
        mends = [rf"sed -Ei '{n}s/{_RULES}\s*\S+//g' {path}" for path, n in places]
        what = f"takes {taken[0]!a}, which is weak" if taken else "takes no strong one"
        said = (f"of passwords PAM {what}", *map(": ".join, lines))
        return Refused("\n".join(said), "; ".join(mends) or _ANEW)
