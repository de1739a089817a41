"""Guests of the sandbox: servers with a kernel of their own, where hosts share this one."""

import pytest

from tests.hosts.managing import manage, rests
from tests.hosts.programs import wait_until


pytestmark = pytest.mark.share("SMB")


def test_a_guest_loads_what_this_machine_cannot(guest):
    guest.run("modprobe cifs")
    assert "cifs" in guest.read("/proc/filesystems")


def test_a_guest_is_the_backend_that_its_host_was(guest):
    assert rests(guest, backend="tpp", words="--offline")
    # Emulated, and beside other tests, it may miss the seconds that GitHub has for an answer.
    wait_until(lambda: not manage(guest, backend="tpp").returncode, 300)


def test_services_are_confined_by_apparmor_where_the_kernel_has_it(guest):
    asked = "docker inspect --format '{{.AppArmorProfile}}' jobrunner"
    wait_until(lambda: "docker-default" in guest.run(asked, check=False).stdout, 180)
