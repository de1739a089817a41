"""The same doors on every release, and where a socket starts sshd."""

from __future__ import annotations

import pytest

from sandbox.fixtures import ssh_socket
from tests.hosts.access.test_sudo import GOOD, WEAK, types
from tests.hosts.doors import OURS, desk, heals, lets_in, nothing_left, ssh
from tests.hosts.managing import manage
from tests.hosts.releases import NEIGHBOURS


pytestmark = pytest.mark.share("access")


@pytest.fixture(scope="module", params=NEIGHBOURS)
def host(request, shared_warm_host):
    return shared_warm_host("test", request.param)


def test_people_get_in_and_others_do_not(host):
    assert lets_in(host, "ada", "rita")
    done = ssh(host, "ada", host.people["ada"].key, options=("-W", "127.0.0.1:22"))
    assert (done.returncode, done.stdout) == (255, "")
    done = ssh(
        host, "ada", host.people["ada"].key, options=("-oPubkeyAuthentication=no",)
    )
    assert "Permission denied (publickey)" in done.stderr


def test_a_change_is_proven(host):
    host.run(f"rm {OURS}; systemctl reload ssh")
    assert heals(host, "test")
    assert nothing_left(host)
    assert lets_in(host, "ada", "rita")


def test_keys_are_a_way_in_whatever_others_say_of_all(host):
    """in-force/27: our own Match counts, in the words of each sshd."""
    theirs = "/etc/ssh/sshd_config.d/10-provider.conf"
    host.write(theirs, "PubkeyAcceptedKeyTypes rsa-sha2-512\nPubkeyAuthentication no\n")
    host.run("systemctl restart ssh")
    try:
        for_root = "sshd -T -C user=root,host=localhost,addr=127.0.0.1"
        assert "pubkeyauthentication no" in host.run(for_root).stdout
        assert lets_in(host, "ada", "rita")
        assert manage(host, "--offline").returncode == 0
    finally:
        host.run(f"rm {theirs}; systemctl restart ssh")


def test_a_first_password(host):
    word, why = WEAK[0]
    status, shown = types(host, "ada", word, word)
    assert why in shown
    status, shown = types(host, "ada", GOOD, GOOD)
    assert status == 0, shown
    with desk(host, "grace", "su - ada -c id") as terminal:
        terminal.until("assword: ", timeout_s=10)
        terminal.type(GOOD + "\n")
        assert terminal.end(timeout_s=30) == 0, terminal.seen
    rita = host.people["rita"]
    done = host.ssh("rita", rita.key, "su - ada -c id", check=False, stdin=GOOD + "\n")
    assert "assword" not in done.stderr


@pytest.mark.parametrize("release", ["bookworm", *NEIGHBOURS])
def test_sshd_started_by_a_socket(warm_host, release):
    """Before and after the first connection, and again after a reboot."""
    host = warm_host("test", release, shape=[ssh_socket])
    assert heals(host, "test")
    host.run("systemctl stop ssh.service")
    host.run(f"rm {OURS}")
    assert heals(host, "test")
    assert lets_in(host, "ada", "rita")
    host.run(f"echo '# theirs' >> {OURS}")
    assert heals(host, "test")
    assert lets_in(host, "ada", "rita")
    host.reboot()
    assert heals(host, "test")
    assert lets_in(host, "ada", "rita")
    assert host.run("systemctl is-active ssh.socket").stdout == "active\n"
    assert nothing_left(host)


def test_options_wait_for_a_connection(warm_host):
    """What the socket will start is known before it runs."""
    host = warm_host("test", "bookworm", shape=[ssh_socket])
    host.run("systemctl stop ssh.service")
    host.write("/etc/default/ssh", "SSHD_OPTS='-o PasswordAuthentication=yes'\n")
    host.run(f"rm {OURS}")
    done = manage(host)
    assert done.returncode in (1, 2), done.stdout
    assert "PasswordAuthentication" in done.stdout + done.stderr
