"""Setting an account's password."""

from __future__ import annotations

from backend_server.errors import CommandFailed, UserError
from backend_server.host.writer import Host


def set_password(host: Host, name: str, password: str) -> None:
    """PAM judges it; it goes to chpasswd's stdin and nowhere else.

    Raises UserError with what is wrong with it.
    """
    try:
        host.run("chpasswd", stdin=f"{name}:{password}\n")
    except CommandFailed as error:
        why = [line for line in error.hint.splitlines() if "BAD PASSWORD" in line]
        raise UserError(
            f"the password was not set: {why[0] if why else error}",
            hint="think of another one and run this again",
        ) from None
