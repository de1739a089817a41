"""Passwords of accounts: the first, which its owner chooses, and one that an operator gives."""

from __future__ import annotations

import os
import secrets
import sys

from backend_server.access import reviewers
from backend_server.checkout.backend import Backend
from backend_server.host import Host, HostReader
from backend_server.host.question import say, secret
from backend_server.text.errors import CommandFailed, Refused, UserError
from backend_server.text.roles import ROLES


# A file for each password that its owner has yet to change, newer than any change. The
# owner's own desktop reads it, so it says nothing but that.
GIVEN = "/var/lib/opensafely/given_passwords"

# Syllables are read out and typed without mistakes; none looks like another.
_CONSONANTS = "bdfgkmnprstvz"
_VOWELS = "aeiou"
_WORDS, _SYLLABLES = 4, 3
_TRIES = 5  # PAM may find a word of its dictionary in one


def may_sudo(host: HostReader, name: str) -> bool:
    """Whether NAME is in a group that may use sudo: then nobody else may know the password."""
    return any(name in host.members(role.group) for role in ROLES if role.sudo)


def set_password(host: Host, name: str, password: str) -> None:
    """PAM judges it; it goes to chpasswd's stdin and nowhere else.

    Raises UserError with what is wrong with it.
    """
    if "\n" in password:  # the next line would be somebody else's
        raise UserError("the password was not set: it is more than one line")
    try:
        host.run("chpasswd", stdin=f"{name}:{password}\n")
    except CommandFailed as error:
        why = [line for line in error.hint.splitlines() if "BAD PASSWORD" in line]
        hint = "think of another one and run this again"
        if not why:  # it is not for the password's sake
            hint = "sudo backend status"
        what = f"the password was not set: {why[0] if why else error}"
        raise UserError(what, hint) from None


def first(host: Host) -> tuple[str, str]:
    """The person who logged in, and the password they typed.

    Only once: whoever has a password changes it with passwd(1), which asks for the old one.
    The person is the one of the kernel's loginuid, which no nested sudo can change.
    """
    if host.login_uid() != os.environ.get("SUDO_UID"):
        hint = "log in as yourself and type: sudo opensafely-password"
        raise Refused("the person who logged in is not the one who called sudo", hint)
    name = host.person()
    if not may_sudo(host, name):
        raise Refused(f"{name} is in no group that may use sudo")
    if not host.shadow()[name].never_set:
        hint = "to change it: passwd; if it is forgotten, ask another developer"
        raise Refused(f"{name} has a password already, or is locked", hint)
    if not sys.stdin.isatty():
        raise Refused("a password is typed on a terminal", hint="ssh -t, then again")
    say("At least 14 characters, of all four kinds, and no words.")
    return name, secret(f"New password for {name}")


def refuse_others(host: Host, backend: Backend, name: str) -> None:
    """Raise Refused where NAME does not come to this backend with a password."""
    if not backend.rdp_address:
        raise Refused(
            f"{backend.name} has no remote desktop: nobody logs in with a password here",
            hint=f"sudo backend people password --reset {name}",
        )
    if may_sudo(host, name):
        hint = f"{name} types: sudo opensafely-password"
        raise Refused(f"{name} may use sudo: nobody else may know that password", hint)
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
