"""Changes to sshd, PAM and the firewall that nobody confirms by a login: the old files come back."""

from __future__ import annotations

import contextlib
import time

import pytest

from tests.hosts.doors import OURS, bent, desk, heals, nothing_left
from tests.hosts.managing import CHECKOUT, history, manage
from tests.hosts.programs import in_background, wait_until


pytestmark = pytest.mark.share("people")

KEPT = "/var/lib/opensafely/unconfirmed"
STAKES = "/etc/opensafely/from_outside.nft /etc/pam.d /etc/ssh /usr/share/pam-configs /var/lib/pam"
WAITS = "Ctrl-C puts the old files back"
BACK = "the old files of sshd, PAM and the firewall are back"

SSH = "etc/ssh/sshd_config.d/00-opensafely.conf"
LOGIN = "backend_server/base/component/login.py"
# sshd -t, sshd -T and the canary's login from here find nothing wrong with it.
SHUT_OUT = (
    "# Accounts of ours",
    "Match Address *,!127.0.0.0/8,!::1\n    PubkeyAuthentication no\n"
    "# Accounts of ours",
)
INBOUND = "etc/opensafely/from_outside.nft"
# What comes from the host itself is let in all the same.
NO_STRANGERS = ("tcp dport { port:ssh }", "tcp dport { 1 }")
ACCOUNT = "Account-Type: Additional\nAccount:\n\trequired\t"
NO_DEVELOPERS = (
    "Session-Type",
    f"{ACCOUNT}pam_succeed_if.so quiet user notingroup developers\nSession-Type",
)
# pam_systemd has noted the session by then; afterwards sshd ends without a shell.
NO_SESSIONS = (
    "Session:\n",
    "Session:\n\trequired\tpam_succeed_if.so quiet user notingroup developers\n",
)
NOBODY = ("Session-Type", f"{ACCOUNT}pam_deny.so\nSession-Type")
HARMLESS = ("LoginGraceTime 30", "LoginGraceTime 130")


@pytest.fixture(scope="module")
def host(shared_warm_host):
    return shared_warm_host("test")


@pytest.fixture(autouse=True)
def _is_open(host):
    """One lock-out is enough to know."""
    yield
    manage(host, "host undo")


@contextlib.contextmanager
def changing(host, path, change, within_s=60):
    """Grace applies a change and has been told to log in; afterwards the host is healed."""
    command = f"sudo {CHECKOUT}/test/manage.sh --confirm-within {within_s}"
    before = files(host)
    with bent(host, path, *change), desk(host, "grace", command) as terminal:
        said = terminal.until(WAITS)
        assert f"as ada or grace within {within_s} seconds" in said
        assert files(host) != before
        yield terminal
    assert heals(host, "test")
    assert files(host) == before
    assert settled(host)


def files(host):
    """What stands in every file of sshd, PAM and the firewall, and who may do what with it."""
    found = host.run(
        f"find {STAKES} -type f -printf '%p %m %u %g\\n' -exec sha256sum {{}} +"
    )
    return sorted(found.stdout.splitlines())


def settled(host):
    """Whether nothing is kept and nothing waits to bring it back."""
    units = host.run(
        "systemctl list-units --all --no-legend 'opensafely-undo.*'"
    ).stdout
    return not units and host.run(f"test -e {KEPT}", check=False).returncode == 1


def gets_in(host, name):
    done = host.ssh(name, host.people[name].key, "id -un", check=False)
    return done.stdout == f"{name}\n"


def back(host, before):
    wait_until(lambda: settled(host), timeout_s=30)
    assert files(host) == before
    assert gets_in(host, "ada")
    assert "undo" in [line.get("event") for line in history(host)[-2:]]


def unattended(host, *change):
    with bent(host, *change):
        return manage(host)


# ---- somebody comes in


def test_a_new_login_of_a_developer_confirms(host):
    """Not a session that was open before, as grace's own, nor a researcher's."""
    with changing(host, SSH, HARMLESS) as terminal:
        assert gets_in(host, "rita")
        with desk(host, "rita", "sleep 30"):
            time.sleep(1)
        assert "confirmed" not in terminal.seen
        status = manage(host, "status")
        assert f"unconfirmed {OURS}" in status.stdout
        with desk(host, "ada", "sleep 30"):
            assert "confirmed by ada" in terminal.until("1 changed")
        assert terminal.end() == 0
        assert settled(host)
        assert history(host)[-1]["confirmed"] == "ada"
        assert "LoginGraceTime 130" in host.read(OURS)


def test_a_short_login_confirms_too(host):
    with changing(host, SSH, HARMLESS) as terminal:
        # Its shell may come and go between two looks.
        wait_until(lambda: gets_in(host, "ada") and settled(host))
        assert terminal.end() == 0


def test_without_a_terminal_nobody_is_waited_for(host):
    done = unattended(host, SSH, *HARMLESS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert history(host)[-1]["confirmed"] is None
    assert settled(host)
    assert heals(host, "test")


def test_without_a_terminal_the_canary_judges_pam_too(host):
    before = files(host)
    done = unattended(host, LOGIN, *NOBODY)
    assert done.returncode == 1
    assert BACK in done.stdout
    back(host, before)
    assert heals(host, "test")


def test_a_login_on_the_host_itself_confirms_nothing(host):
    host.write("/root/key", host.people["ada"].key.read_text(), 0o600)
    quiet = "-oStrictHostKeyChecking=no -oBatchMode=yes -i /root/key"
    with changing(host, INBOUND, NO_STRANGERS, within_s=5) as terminal:
        for own in ("127.0.0.1", "::1"):
            assert host.run(f"ssh {quiet} ada@{own} id -un").stdout == "ada\n"
        assert terminal.end() == 1
        assert "confirmed" not in terminal.seen


def test_without_a_terminal_the_canary_comes_as_a_stranger(host):
    before = files(host)
    done = unattended(host, INBOUND, *NO_STRANGERS)
    assert done.returncode == 1
    assert BACK in done.stdout
    back(host, before)
    assert heals(host, "test")


# ---- nobody comes in


@pytest.mark.parametrize(
    ("path", "change"),
    [
        *((SSH, SHUT_OUT), (LOGIN, NO_DEVELOPERS), (LOGIN, NO_SESSIONS)),
        (INBOUND, NO_STRANGERS),
    ],
    ids=["sshd", "account", "session", "firewall"],
)
def test_in_the_end_the_old_files_are_back(host, path, change):
    before = files(host)
    with changing(host, path, change, within_s=3) as terminal:
        assert not gets_in(host, "ada")
        assert terminal.end() == 1
        assert "no developer logged in within 3 seconds" in terminal.seen
        assert BACK in terminal.seen
        back(host, before)
        assert "no developer" in history(host)[-1]["taken_back"]


def test_ctrl_c(host):
    before = files(host)
    with changing(host, LOGIN, NO_DEVELOPERS) as terminal:
        terminal.type("\x03")
        assert terminal.end() == 1
        assert f"stopped by Ctrl-C; {BACK}" in terminal.seen
        back(host, before)


def test_undo_from_elsewhere(host):
    before = files(host)
    with changing(host, SSH, SHUT_OUT) as terminal:
        undone = manage(host, "host undo")
        assert undone.stdout == f"test host undo: {OURS}\n"
        back(host, before)
        assert terminal.end() == 1
        assert BACK in terminal.seen
        again = manage(host, "host undo")
        assert again.stdout == "test host undo: nothing to bring back\n"
        assert again.returncode == 0


def test_ctrl_c_in_the_middle_of_the_change(host):
    before = files(host)
    apply = desk(host, "grace", f"sudo {CHECKOUT}/test/manage.sh")
    with bent(host, SSH, *HARMLESS), apply as terminal:
        terminal.until("... SshdConfig")
        terminal.type("\x03")
        assert terminal.end() == 1
    assert files(host) == before
    assert settled(host)
    assert gets_in(host, "ada")
    assert heals(host, "test")
    assert nothing_left(host)


# ---- nobody is left to bring them back


def test_a_killed_run(host):
    before = files(host)
    with changing(host, SSH, SHUT_OUT, within_s=1):
        host.run("pkill -9 -f /[e]ntry.py")
        back(host, before)


def test_a_terminal_that_is_gone(host):
    before = files(host)
    with changing(host, SSH, SHUT_OUT, within_s=1) as terminal:
        terminal.process.kill()
        back(host, before)


def test_a_reboot(host):
    """As when somebody presses the button, since nobody gets in."""
    before = files(host)
    with changing(host, LOGIN, NO_DEVELOPERS):
        host.reboot()
        back(host, before)


def test_the_next_run_settles_what_a_killed_one_left(host):
    with changing(host, SSH, HARMLESS):
        host.run("pkill -9 -f /[e]ntry.py")
        assert not settled(host)
        assert manage(host).returncode == 0
        assert settled(host)
        assert "LoginGraceTime 130" in host.read(OURS)


def test_a_run_that_is_killed_before_its_end(host):
    """Its timer is armed for longer than a run takes; whoever comes first settles it."""
    before = files(host)
    with bent(host, SSH, *HARMLESS):
        with in_background(host, f"{CHECKOUT}/test/manage.sh") as run:
            wait_until(lambda: armed(host))
            run.kill()
        assert armed(host)
    assert manage(host, "host undo").returncode == 0
    assert files(host) == before
    assert settled(host)
    assert heals(host, "test")


def armed(host):
    return "opensafely-undo.timer" in host.run("systemctl list-timers").stdout
