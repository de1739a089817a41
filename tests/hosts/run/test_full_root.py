"""A server whose one disk is full to the last block, root's part too: who is to go goes, and the rest says why not."""

from __future__ import annotations

import contextlib

import pytest

from tests.hosts.managing import manage, rests
from tests.hosts.programs import wait_until


pytestmark = [pytest.mark.share("in force"), pytest.mark.long]

UNIT = "/etc/systemd/system/opensafely-modes.service"
# Three times: somebody gives back a block meanwhile.
FILL = """
for n in 1 2 3; do
    for size in 1M 4k 1; do dd if=/dev/zero of=/fill$size.$n bs=$size; done; sync
done 2>/dev/null
if echo x > /etc/x; then exit 1; fi 2>/dev/null
rm -f /etc/x
"""
WHOLE = "/etc/passwd /etc/group /etc/shadow /etc/gshadow /etc/ssh/sshd_config.d/00-opensafely.conf"


@contextlib.contextmanager
def full(guest):
    guest.run(FILL)
    try:
        yield
    finally:
        guest.run("rm -f /fill*; sync")


def test_a_disk_without_room(guest):
    grace = guest.people["grace"].key
    assert guest.ssh("grace", grace, "setsid sleep 1000 >&- 2>&- <&- & id -un").stdout
    guest.run(f"echo '# theirs' >> {UNIT}")
    there = guest.run(f"cat {UNIT}; ls -A /etc /etc/ssh /etc/systemd/system").stdout
    whole = guest.run(f"cat {WHOLE}").stdout
    with full(guest):
        done = manage(guest, "status", "tpp")
        assert done.returncode == 4
        assert "/var/lib/docker: 100 % in use, 0 B free" in done.stdout, done.stdout
        done = manage(guest, "plan --offline", "tpp")
        assert done.returncode in (3, 4)
        assert f"~ UnitFile {UNIT}" in done.stdout, done.stdout
        done = manage(guest, "--offline", "tpp")
        print(done.stdout, done.stderr)
        assert done.returncode == 1
        assert "No space left on device" in done.stdout
        now = guest.run(f"cat {UNIT}; ls -A /etc /etc/ssh /etc/systemd/system").stdout
        assert now == there
        assert guest.run(f"cat {WHOLE}").stdout == whole

        done = manage(guest, "people revoke grace --why test", "tpp")
        print(done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        assert guest.run("pgrep -u grace", check=False).stdout == ""
        assert guest.ssh("grace", grace, "true", check=False).returncode == 255
        assert guest.ssh("ada", guest.people["ada"].key, "id -un").stdout == "ada\n"
    assert manage(guest, "people revoke grace --why test", "tpp").returncode == 0
    assert guest.ssh("grace", grace, "true", check=False).returncode == 255
    assert manage(guest, "people readmit grace", "tpp").returncode == 0
    assert manage(guest, "--offline", "tpp").returncode in (0, 4)
    assert rests(guest, "tpp", "--offline")
    wait_until(
        lambda: not guest.ssh("grace", grace, "true", check=False).returncode, 60
    )
