"""What `sudo -l -U` says, of old and new versions and of sudo-rs, and what is made of it."""

import pytest

from backend_server.access.sudo_rights import SudoRights


pytestmark = pytest.mark.share("in force")

HEAD = """\
Matching Defaults entries for ada on backend:
    env_reset, mail_badpass, secure_path=/usr/sbin\\:/usr/bin\\:/sbin\\:/bin, {}

Runas and Command-specific defaults for ada:
    Defaults!/usr/bin/less noexec

User ada may run the following commands on backend:
"""
RUST = "User ada may run the following commands on backend:\n"
ALL = "    (ALL : ALL) ALL\n"
FIXED = "    (root) NOPASSWD: /usr/local/sbin/backend status\n"

SAID = [
    (HEAD.format("use_pty") + ALL + FIXED, ""),
    (RUST + "    (ALL:ALL) ALL\n" + FIXED, ""),
    (RUST + "    (root) ALL\n" + FIXED, ""),
    (RUST + "    (ALL) NOPASSWD: ALL\n" + ALL + FIXED, ""),
    (HEAD.format("authenticate, !rootpw, !targetpw, !runaspw") + ALL, ""),
    (HEAD.format("rootpw, use_pty, !rootpw") + ALL, ""),
    (HEAD.format("!rootpw, rootpw") + ALL, "goes by rootpw"),
    (HEAD.format("runaspw") + ALL, "goes by runaspw"),
    (HEAD.format("!authenticate") + ALL, "goes by !authenticate"),
    (HEAD.format("x") + ALL + "    (ALL) !ALL\n", "does not allow everything"),
    (HEAD.format("x") + FIXED, "does not allow everything"),
    (HEAD.format("x") + "    (daemon : ALL) ALL\n", "does not allow everything"),
    (HEAD.format("x") + ALL + "    (ALL) SETENV: NOPASSWD: ALL\n", "asks no password"),
    ("User ada is not allowed to run sudo on backend.\n", "does not allow everything"),
]


@pytest.mark.parametrize(("said", "why"), SAID)
def test_a_developer(said, why):
    assert SudoRights("sudo")._why_not(said) == why


def test_where_sudo_asks_for_no_password_at_all():
    free = HEAD.format("!authenticate, rootpw") + "    (ALL) NOPASSWD: ALL\n"
    assert SudoRights("sudo", password=False)._why_not(free) == ""
    assert SudoRights("sudo", password=False)._why_not(RUST + FIXED)
