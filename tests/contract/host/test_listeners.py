"""Who listens, by the kernel's own word."""

from __future__ import annotations

import contextlib
import os
import socket

import pytest

from backend_server.host.listening import by_netlink, by_proc


def listening(stack, family, address):
    found = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
    found.bind((address, 0))
    return found


def place(found):
    address, port, *_ = found.getsockname()
    return address, str(port), os.readlink(f"/proc/self/fd/{found.fileno()}")


@pytest.mark.parametrize("listeners", [by_netlink, by_proc])
def test_each_that_listens_is_named_by_address_port_and_inode(listeners):
    with contextlib.ExitStack() as stack:
        kinds = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
        # More than fit into one answer of the kernel.
        found = [listening(stack, *kind) for kind in kinds for _ in range(300)]
        found += [listening(stack, socket.AF_INET6, "::")]
        silent = found.pop(7)
        for each in found:
            each.listen()
        client = stack.enter_context(socket.create_connection(found[0].getsockname()))
        told = set(listeners())
        here = {place(each) for each in found}
        assert here <= told
        assert not {place(silent), place(client)} & told
    assert not here & set(listeners())
