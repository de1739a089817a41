"""Passwords that an operator gives to reviewers, who come by remote desktop."""

from __future__ import annotations

import secrets

from backend_server.access import reviewers
from backend_server.access.passwords import may_sudo, set_password
from backend_server.checkout.backend import Backend
from backend_server.host.writer import Host
from backend_server.text.errors import Refused, UserError


# A file for each password that its owner has yet to change, newer than any change. The
# owner's own desktop reads it, so it says nothing but that.
GIVEN = "/var/lib/opensafely/given_passwords"

# Syllables are read out and typed without mistakes; none looks like another.
_CONSONANTS = "bdfgkmnprstvz"
_VOWELS = "aeiou"
_WORDS, _SYLLABLES = 4, 3
_TRIES = 5  # PAM may find a word of its dictionary in one


def refuse_others(host: Host, backend: Backend, name: str) -> None:
    """Raise Refused where NAME does not come to this backend with a password."""
    if not backend.rdp_address:
        raise Refused(
            f"{backend.name} has no remote desktop: nobody logs in with a password here",
            hint=f"sudo backend people password --reset {name}",
        )
    if may_sudo(host, name):
        raise Refused(
            f"{name} may use sudo: nobody else may know that password",
            hint=f"{name} types: sudo opensafely-password",
        )
    reviewers.refuse_others(host, backend, name)


def give(host: Host, name: str, password: str) -> str:
    """NAME logs in with this password, or with one made here where none is given.

    It is changed by its owner when they like: one that has run out cannot be changed over
    a remote desktop, which would shut them out. Wrong ones before it do not count any more.
    """
    for left in reversed(range(_TRIES)):
        chosen = password or passphrase()
        try:
            set_password(host, name, chosen)
            break
        except UserError:
            if password or not left:
                raise
    host.run("faillock", "--user", name, "--reset")
    if not host.stat(GIVEN):
        host.make_directory(GIVEN, 0o755, "root", "root")
    host.write(f"{GIVEN}/{name}", "", 0o644)
    return chosen


def passphrase() -> str:
    """As `Rabiko-temusa-lofina-kipura-47`: 79 bits of chance, and all four kinds."""
    words = ("".join(_syllable() for _ in range(_SYLLABLES)) for _ in range(_WORDS))
    number = f"{secrets.randbelow(90) + 10}"
    return "-".join((*words, number)).capitalize()


def _syllable() -> str:
    return secrets.choice(_CONSONANTS) + secrets.choice(_VOWELS)
