"""The password of a share's account, in the form that mount.cifs(8) reads."""

from __future__ import annotations


FILE = "/etc/opensafely/share.credentials"  # root's alone
SECRET = "SHARE_PASSWORD"  # its name among the secrets
HEADER = """\
# Root's alone, for mount.cifs. Changed by:
# backend service secrets set SHARE_PASSWORD
"""
_PASSWORD = "password="
_LONGEST = 512  # bytes


def text(password: str) -> str:
    """The whole file. Raises ValueError, without the password, where no line can hold it."""
    if any(mark in password for mark in "\0\r\n") or password != password.lstrip(" \t"):
        raise ValueError("no line can hold it: a newline, a NUL, or a blank before it")
    try:
        long = len(password.encode()) > _LONGEST
    except UnicodeEncodeError:
        raise ValueError("it is no UTF-8") from None
    if long:
        raise ValueError(f"it is longer than {_LONGEST} bytes")
    return f"{HEADER}{_PASSWORD}{password}\n"


def is_set(found: str | None) -> bool:
    """Whether the text of the file has a password."""
    lines = (found or "").split("\n")
    return any(line.startswith(_PASSWORD) and line != _PASSWORD for line in lines)
