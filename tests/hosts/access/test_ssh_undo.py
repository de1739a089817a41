"""Changes to sshd that shut the door, or end half way: somebody can log in all along."""

from __future__ import annotations

import random

import pytest

from tests.hosts.doors import (
    CANARY,
    OURS,
    RESTART,
    bent,
    heals,
    lets_in,
    nothing_left,
)
from tests.hosts.managing import CHECKOUT, KILLED, manage, refused, untouched


pytestmark = pytest.mark.share("access")

SSH = "etc/ssh/sshd_config.d/00-opensafely.conf"
SEED, SAMPLE = 20, 5

# What the drop-in says, and what it says for once. Of another length: Python knows a file
# that it has compiled by its size and the second of its last change.
BAD = [
    ("PubkeyAuthentication yes", "PubkeyAuthentication no"),
    ("UsePAM yes", "UsePAM yes\nNonsense yes"),
    ("Ciphers -*-cbc", "Ciphers no-such-cipher"),
    ("KexAlgorithms -", "KexAlgorithms diffie-hellman-group1-sha1,-"),
    ("UsePAM yes", "UsePAM yes\nListenAddress 192.0.2.1"),
    ("UsePAM yes", "UsePAM yes\nHostKey /nonexistent"),
    (
        "AuthorizedKeysFile /etc/ssh/opensafely_keys/%u",
        "AuthorizedKeysFile /nonexistent/%u",
    ),
    ("PasswordAuthentication no", "PasswordAuthentication yes"),
    ("DisableForwarding yes", "ForceCommand /bin/false"),
]


@pytest.fixture(scope="module")
def host(shared_warm_host):
    host = shared_warm_host("emis")
    host.write("/opt/killed.py", KILLED.read_text())
    return host


def in_force(host):
    return host.run(f"cat {OURS}; stat -c %a {OURS}; sshd -T || true").stdout


@pytest.fixture(autouse=True)
def _has_an_sshd(host):
    """One lock-out is enough to know."""
    yield
    if not host.greets():
        host.run(RESTART)


@pytest.mark.parametrize(("old", "new"), BAD, ids=lambda line: line.splitlines()[-1])
def test_a_change_that_would_shut_the_door(host, old, new):
    before = in_force(host)
    with bent(host, SSH, old, new):
        done = manage(host, backend="emis")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert f"the old {OURS} is back in force" in done.stdout, done.stdout
    assert in_force(host) == before
    assert lets_in(host, "ada", "rita")
    assert nothing_left(host)
    assert heals(host)


@pytest.mark.parametrize("groups", ["nobody", "developers researchers ubuntu"])
def test_groups_that_would_leave_somebody_out(host, groups):
    """That is known beforehand."""
    with bent(host, SSH, "AllowGroups $groups", f"AllowGroups {groups}"):
        with untouched(host):
            done = manage(host, backend="emis")
        refused(done, "opensafely-canary: is in none of the groups", groups)
    assert heals(host)


def test_a_first_change_that_would_shut_the_door(host):
    """Then there is no old file to come back."""
    host.run(f"rm {OURS} && systemctl reload ssh")
    with bent(host, SSH, *BAD[0]):
        assert manage(host, backend="emis").returncode == 1
    assert host.run(f"ls {OURS}", check=False).returncode
    host.ssh("ada", host.people["ada"].key, "true", check=False)
    assert nothing_left(host)
    assert heals(host)


def test_a_failure_is_in_the_history_and_the_rest_was_done(host):
    host.run("chmod 600 /etc/sudoers.d/zz-opensafely")
    with bent(host, SSH, *BAD[0]):
        done = manage(host, "--json", backend="emis")
    assert done.returncode == 1
    assert host.run("stat -c %a /etc/sudoers.d/zz-opensafely").stdout == "440\n"
    assert heals(host)


# ---- killed between any two steps


ENTRY = f"{CHECKOUT}/backend_server/entry.py {CHECKOUT} emis --offline --only ssh"


def killed_at(host, step):
    command = f"/usr/bin/python3 -I -S /opt/killed.py {step} /run/steps {ENTRY}"
    done = host.run(command, check=False)
    # What works is a process of its own, once nothing is left to ask.
    assert done.returncode in ((137, 1) if step else (0,)), done.stdout + done.stderr
    assert step == 0 or done.returncode == 137 or "killed by signal 9" in done.stderr


def test_killed_between_any_two_steps(host, pytestconfig):
    text = host.read(f"{CHECKOUT}/{SSH}")
    words = ["LoginGraceTime 30", "LoginGraceTime 130", "LoginGraceTime 1300"]
    with bent(host, SSH, *words[:2]):
        killed_at(host, 0)
    steps = range(1, int(host.run("cat /run/steps").stdout) + 1)
    assert len(steps) > 60
    if not pytestconfig.getoption("--long"):
        steps = random.Random(SEED).sample(steps, SAMPLE)
    for number, step in enumerate(steps):
        print(f"killed at step {step}")  # shown when it fails
        with bent(host, SSH, words[0], words[2 - number % 2]):
            assert text != host.read(f"{CHECKOUT}/{SSH}")
            killed_at(host, step)
            assert lets_in(host, "ada", "rita")
            assert heals(host), f"after step {step}"
        assert lets_in(host, "ada", "rita")
        assert nothing_left(host)
    assert heals(host)


def test_killed_and_then_rebooted(host):
    """Marks of another boot no longer count: what a killed run left behind goes all the same."""
    with bent(host, SSH, "LoginGraceTime 30", "LoginGraceTime 133"):
        host.run(
            f"{CHECKOUT}/emis/manage.sh & timeout 20 sh -c 'until test -e {CANARY}; "
            "do :; done'; pkill -9 -f /[e]ntry.py; wait",
            check=False,
        )
        assert not nothing_left(host)
        host.reboot()
        assert lets_in(host, "ada", "rita")
        assert heals(host)
        assert nothing_left(host)
    assert heals(host)
    assert heals(host)
