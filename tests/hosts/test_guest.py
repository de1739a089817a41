"""Guests of the sandbox: servers with a kernel of their own, where hosts share this one."""

import pytest

from tests.hosts.managing import rests


pytestmark = pytest.mark.share("SMB")


def test_a_guest_loads_what_this_machine_cannot(guest):
    guest.run("modprobe cifs")
    assert "cifs" in guest.read("/proc/filesystems")


def test_a_guest_is_the_backend_that_its_host_was(guest):
    assert rests(guest, backend="tpp")
