"""What the kernel lets an account do."""

from __future__ import annotations

import os

from backend_server.host.reader import HostReader
from backend_server.text.parsers import PasswdEntry


def granted(host: HostReader, name: str, path: str) -> str:
    """`r`, `w` and `x` as the kernel grants them to a process of this account.

    Asked by a child that has become the account, groups and all: modes, ACLs, parents and
    mounts are then judged by the only one whose answer counts.
    """
    user = host.users().get(name)
    if user is None:
        return "-"
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, _as_account(name, user, path).encode())
        finally:
            os._exit(0)  # whatever happened: this is a copy of the whole tool
    os.close(writing)
    with os.fdopen(reading) as answer:
        found = answer.read()
    os.waitpid(child, 0)
    return found


def _as_account(name: str, user: PasswdEntry, path: str) -> str:
    os.initgroups(name, user.gid)
    os.setgid(user.gid)
    os.setuid(user.uid)
    modes = (("r", os.R_OK), ("w", os.W_OK), ("x", os.X_OK))
    return "".join(letter for letter, mode in modes if os.access(path, mode)) or "-"
