"""How developers become root, with a password of their own and a line in the log; others do not."""

from __future__ import annotations

from typing import Iterator

from backend_server.access import pam_profiles
from backend_server.access.component.ssh import logins
from backend_server.access.judged import Judged
from backend_server.access.set_user_id import SetUserId
from backend_server.access.sshd_live import CANARY
from backend_server.access.sudo_rights import SudoRights
from backend_server.access.sudoers import Sudoers, SuOnlyFor
from backend_server.base.verbatim import filled, verbatim
from backend_server.checkout.gather import Site, developers
from backend_server.resources import UNITS, File, PamProfile, Resource, Unit
from backend_server.text import roles


FIRST_PASSWORD = "/usr/local/sbin/opensafely-password"

_LOOKS = ("status", "plan --offline", "service list", "job list")

# What developers may do as root without a password: to set their first one, and to look.
# A command without arguments would let all arguments through, "" lets none.
FIXED_COMMANDS = (
    f'{FIRST_PASSWORD} ""',
    *(f"/usr/local/sbin/backend {looks}" for looks in _LOOKS),
)

# Read last, and sudo keeps the last rule that fits: what needs no password comes at the end.
# Debian's sudo would ask for the name of a host that somebody types, before it looks at rules.
_RULES = "/etc/sudoers.d/zz-opensafely"

# sudo-rs has no logfile and writes to the system log, nor has it Defaults for some people only.
# Root has no password that anybody could be asked for.
_OF_SUDO = f"""\
Defaults logfile=/var/log/sudo.log
Defaults:%{roles.DEVELOPERS} authenticate, !rootpw, !targetpw, !runaspw
"""

_COMMAND = "#!/bin/sh\nexec /usr/local/sbin/backend people first-password\n"


def sudo(site: Site) -> Iterator[Resource]:
    """Passwords are strong before anybody can set one, and rules hold no wildcard."""
    strong = verbatim(site, "/etc/security/pwquality.conf.d/opensafely.conf")
    yield strong
    yield File(FIRST_PASSWORD, _COMMAND, mode=0o755)
    rules = Sudoers(_RULES, _rules(site))
    yield rules
    yield _rights(site, rules)
    yield SuOnlyFor(roles.DEVELOPERS)
    before = (strong.label, f"User {CANARY}", "Packages packages/core.txt")
    yield Judged("passwords", before, account=CANARY, ours=strong.path)


def _rights(site: Site, rules: Sudoers) -> SudoRights:
    able = {entry.name for entry in developers(site)}
    taken = (f"RootEquivalent {each}" for each in sorted(roles.ROOT_EQUIVALENT_GROUPS))
    given = (f"Members {role.group}" for role in roles.ROLES)
    return SudoRights(
        "sudo",
        (rules.label, *taken, *given),
        ours=rules.path,
        password=site.backend.sudo_password,
        developers=tuple(each for each in logins(site) if each.name in able),
        others=tuple(each for each in logins(site) if each.name not in able),
    )


def _rules(site: Site) -> str:
    tag = "" if site.backend.sudo_password else "NOPASSWD: "
    groups = [role.group for role in roles.ROLES if role.sudo]
    able = (f"%{group} ALL=(ALL:ALL) {tag}ALL\n" for group in groups)
    free = f"%{roles.DEVELOPERS} ALL=(root) NOPASSWD:"
    fixed = (f"{free} {each}\n" for each in FIXED_COMMANDS)
    own = _OF_SUDO if site.release.sudo_logfile else ""
    return filled(site, _RULES, own=own, rules="".join(able), fixed="".join(fixed))


_COUNTS = "run-faillock.mount"


def lockout(site: Site) -> Iterator[Resource]:
    """Guessing is slow on every way in that asks for a password: sudo, su, a console, the desktop."""
    yield verbatim(site, f"{UNITS}/{_COUNTS}", notify=_COUNTS)
    yield Unit(_COUNTS)
    for name, text, line in pam_profiles.LOCKOUT:
        yield PamProfile(name, text, line, used_in=pam_profiles.AUTH)


def programs() -> Iterator[Resource]:
    """Those that act as root for whoever starts them: last, when all packages are there.

    Whoever has no rule of sudo's starts none of them, but the one for their own password: what
    such a program does before it refuses, it does as root.
    """
    yield SetUserId(roles.UNPRIVILEGED, frozenset({"/usr/bin/passwd"}))
    # It asks for them, by the rules that it has for reviewers.
    yield Unit("dbus.service", enabled=None, running=None, on_change="reload")
