"""Passwords of accounts."""

from __future__ import annotations

from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.text.errors import CommandFailed, UserError
from backend_server.text.roles import ROLES


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
        raise UserError(
            f"the password was not set: {why[0] if why else error}",
            hint="think of another one and run this again",
        ) from None
