"""The first password of somebody who logged in by key and has none yet."""

from __future__ import annotations

import os
import sys

from backend_server.access.passwords import may_sudo, set_password
from backend_server.host import loginuid, typed
from backend_server.host.question import say
from backend_server.host.writer import Host
from backend_server.text.errors import Refused


def set_first_password(host: Host) -> str:
    """The person who logged in has the password they typed; returns their name.

    Only once: whoever has a password changes it with passwd(1), which asks for the old one.
    The person is the one of the kernel's loginuid, which no nested sudo can change. PAM
    judges the password, which goes to chpasswd's stdin and nowhere else.
    """
    name = _person(host)
    if not host.shadow()[name].never_set:
        raise Refused(
            f"{name} has a password already, or is locked",
            hint="to change it: passwd; if it is forgotten, ask another developer",
        )
    if not sys.stdin.isatty():
        raise Refused("a password is typed on a terminal", hint="ssh -t, then again")
    say("At least 14 characters, of all four kinds, and no words.")
    set_password(host, name, typed.secret(f"New password for {name}"))
    return name


def _person(host: Host) -> str:
    if loginuid.uid(host) != os.environ.get("SUDO_UID"):
        raise Refused(
            "the person who logged in is not the one who called sudo",
            hint="log in as yourself and type: sudo opensafely-password",
        )
    name = loginuid.person(host)
    if not may_sudo(host, name):
        raise Refused(f"{name} is in no group that may use sudo")
    return name
