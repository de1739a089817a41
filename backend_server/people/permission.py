"""What the kernel lets an account do."""

from __future__ import annotations

import os

from backend_server.host import HostReader
from backend_server.text.parsers import PasswdEntry


_MODES = (("r", os.R_OK), ("w", os.W_OK), ("x", os.X_OK))


def granted(host: HostReader, name: str, path: str) -> str:
    """`r`, `w` and `x` as the kernel grants them to a process of this account.

    Asked by a child that has become the account, groups and all: modes, ACLs, parents and
    mounts are then judged by the only one whose answer counts.
    """
    user = host.users().get(name)
    if user is None:
        return "-"
    child = os.fork()
    if child == 0:
        bits = 0
        try:
            bits = _as_account(name, user, path)
        finally:
            os._exit(bits)  # whatever happened: this is a copy of the whole tool
    found = os.WEXITSTATUS(os.waitpid(child, 0)[1])
    return "".join(letter for letter, mode in _MODES if found & mode) or "-"


def _as_account(name: str, user: PasswdEntry, path: str) -> int:
    os.initgroups(name, user.gid)
    os.setgid(user.gid)
    os.setuid(user.uid)
    return sum(mode for _, mode in _MODES if os.access(path, mode))
