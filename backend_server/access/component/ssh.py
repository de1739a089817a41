"""How people come in over ssh: by key, if their role lets them, and to nowhere else."""

from __future__ import annotations

from typing import Iterable, Iterator

from backend_server.access.revoked_keys import RevokedKeys
from backend_server.access.sshd import OURS, REVOKED_KEYS, Login
from backend_server.access.sshd_config import Proven, SshdConfig
from backend_server.access.sshd_live import CANARY
from backend_server.base.verbatim import filled
from backend_server.checkout.gather import Site, in_role
from backend_server.checkout.keys import ACCEPTED, KEY_FOLDER, RSA_BITS
from backend_server.resources import Group, Resource, User
from backend_server.text.roles import MARKER, ROLES, Role


_KEY_TYPES = ",".join((*ACCEPTED[:-1], "rsa-sha2-512", "rsa-sha2-256"))
# What the drop-in says, as `sshd -T` answers for one of our people.
_EXPECT = (
    "usepam yes",
    "passwordauthentication no",
    "kbdinteractiveauthentication no",
    "permitemptypasswords no",
    f"authorizedkeysfile {KEY_FOLDER}/%u",
    "authorizedkeyscommand none",
    "authorizedprincipalscommand none",
    "authorizedprincipalsfile none",
    "trustedusercakeys none",
    "hostbasedauthentication no",
    "gssapiauthentication no",
    "authenticationmethods publickey",
    "pubkeyauthentication yes",
    f"pubkeyacceptedkeytypes {_KEY_TYPES}",
    f"pubkeyacceptedalgorithms {_KEY_TYPES}",  # as it is called since OpenSSH 8.5
    "disableforwarding yes",
)


def ssh(site: Site) -> Iterator[Resource]:
    """sshd lets in whom the roles let in, and proves it to itself after each change."""
    yield Group(CANARY)
    yield User(CANARY, home="/var/lib/opensafely/canary", system=True)
    root = "root" in site.backend.provider_accounts
    by_ssh = [role for role in ROLES if role.login == "ssh"]
    # The provider's accounts come by their own groups.
    others = (*sorted(site.backend.provider_accounts), CANARY)
    # Read first, and sshd keeps the first value it meets. Unknown names after a minus are no
    # error, so one list of what is too weak serves every release.
    text = filled(
        site,
        OURS,
        root="prohibit-password" if root else "no",
        groups=" ".join((*(role.group for role in by_ssh), *others)),
        key_types=_KEY_TYPES,
        rsa_size=f"RequiredRSASize {RSA_BITS.start}" if site.release.rsa_size else "",
    )
    people = logins(site, by_ssh)
    config = SshdConfig(OURS, text, people=people, others=others, expect=_EXPECT)
    yield RevokedKeys(REVOKED_KEYS)
    yield config
    yield Proven("sshd", changed_by=(config.label,))


def logins(site: Site, roles: Iterable[Role] = ROLES) -> tuple[Login, ...]:
    """Everybody in one of these roles, with the groups that those give."""
    groups: dict[str, set[str]] = {}
    for role in roles:
        for name in in_role(site, role):
            groups.setdefault(name, {name, MARKER}).add(role.group)
    return tuple(Login(name, frozenset(groups[name])) for name in sorted(groups))
