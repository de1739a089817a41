"""What others wrote for sshd: it loses to ours, or a person is told before anything happens."""

from __future__ import annotations

import contextlib

import pytest

from sandbox.command import run
from sandbox.fixtures import ubuntu_user
from tests.hosts.doors import (
    OURS,
    RESTART,
    heals,
    lets_in,
    like_new,
    on_host,
    opens,
    sshd_reads,
    stranger,
)
from tests.hosts.managing import edited, manage, refused, untouched


pytestmark = pytest.mark.share("access")

MAIN = "/etc/ssh/sshd_config"
DROP_INS = "/etc/ssh/sshd_config.d"


@pytest.fixture(scope="module")
def mallory(tmp_path_factory):
    return stranger(tmp_path_factory.mktemp("mallory"))


@pytest.fixture(scope="module")
def host(shared_warm_host):
    return shared_warm_host("emis", shape=[ubuntu_user])


@contextlib.contextmanager
def started_with(host, options):
    """sshd runs with these options, as some clouds start it; and knows nothing of us."""
    service = f"[Service]\nExecStart=\nExecStart=/usr/sbin/sshd -D {options}\n"
    path = "/etc/systemd/system/ssh.service.d/cloud.conf"
    with on_host(host, path, service):
        host.run(f"rm -f {OURS}; {RESTART}")
        yield
    host.run(RESTART)


# ---- a stranger's way in, which the provider may have opened for its own account


COMMAND = "/usr/lib/keys-of-the-cloud"


@pytest.mark.parametrize(
    "options",
    [
        f"-o AuthorizedKeysCommand={COMMAND} -o AuthorizedKeysCommandUser=nobody",
        f'-o "AuthorizedKeysCommand {COMMAND} %%u %%f" '
        '-o "AuthorizedKeysCommandUser nobody"',
        f"-oAuthorizedKeysCommand={COMMAND} -oAuthorizedKeysCommandUser=nobody",
    ],
    ids=["with =", "quoted", "glued"],
)
def test_a_command_that_hands_out_keys(host, mallory, options):
    host.write(COMMAND, f"#!/bin/sh\necho '{mallory.public_key}'\n", 0o755)
    with started_with(host, options):
        assert opens(host, "ada", mallory.key)  # a real danger
        assert heals(host)
        assert lets_in(host, "ada", "rita", "ubuntu")
        for name in ("ada", "grace", "rita", "gus", "root"):
            assert not opens(host, name, mallory.key)
        assert opens(host, "ubuntu", mallory.key)
    assert heals(host)


@pytest.fixture(scope="module")
def certified(host, mallory, tmp_path_factory):
    """mallory has a certificate for everybody's account; the path is of what signed it."""
    authority = tmp_path_factory.mktemp("authority") / "ca"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", authority)
    names = "ada,grace,rita,gus,root,ubuntu"
    public = mallory.key.with_suffix(".pub")
    run("ssh-keygen", "-q", "-s", authority, "-I", "mallory", "-n", names, public)
    host.write("/etc/ssh/ca.pub", authority.with_suffix(".pub").read_text())
    yield
    mallory.key.with_name("mallory-cert.pub").unlink()


TRUST = "TrustedUserCAKeys /etc/ssh/ca.pub\n"


def test_an_authority_in_a_drop_in(host, mallory, certified):
    with sshd_reads(host, f"{DROP_INS}/60-ca.conf", TRUST):
        like_new(host)
        assert opens(host, "ada", mallory.key)
        assert heals(host)
        assert_only_the_provider(host, mallory)


def test_an_authority_in_the_main_file(host, mallory, certified):
    with edited(host, MAIN, host.read(MAIN) + TRUST):
        host.run(RESTART)
        assert heals(host)
        assert_only_the_provider(host, mallory)
    host.run(RESTART)


def test_an_authority_in_the_daemons_options(host, mallory, certified):
    with started_with(host, "-o TrustedUserCAKeys=/etc/ssh/ca.pub"):
        assert opens(host, "ada", mallory.key)
        assert heals(host)
        assert_only_the_provider(host, mallory)


def assert_only_the_provider(host, mallory):
    assert lets_in(host, "ada", "rita", "ubuntu")
    for name in ("ada", "grace", "rita", "gus", "root"):
        assert not opens(host, name, mallory.key)
    assert opens(host, "ubuntu", mallory.key)


@pytest.mark.parametrize(
    "options",
    [
        "-o PasswordAuthentication=yes",
        "-oPasswordAuthentication=yes",
        "-o 'PasswordAuthentication yes'",
        "-o UsePAM=no",
        "-o PermitRootLogin=yes",
        "-o AllowUsers=mallory",
        "-o DenyGroups=developers",
    ],
)
def test_options_that_count_more_than_any_file(host, options):
    keyword = options.replace("'", "").split("o", 1)[1].strip().replace("=", " ")
    with started_with(host, options):
        with untouched(host):
            done = manage(host, backend="emis")
        refused(done, "sshd was started with -o", keyword.split()[0], "restart ssh")
    assert heals(host)


# ---- lines of others


def refuses(host, path, number, *said):
    with untouched(host):
        done = manage(host, backend="emis")
    refused(done, f"{path}:{number}: ", *said)
    host.run(done.stderr.partition("try: ")[2].partition("\n")[0])
    after = manage(host, "plan --only ssh --offline", backend="emis")
    assert after.returncode in (0, 3), after.stdout


SHUTS = [
    ("AllowUsers mallory", "shuts out ada"),
    ("DenyUsers ada", "shuts out ada"),
    ("denyusers=rita", "shuts out rita"),
    ('DenyUsers "grace"', "shuts out grace"),
    ("DenyUsers ad? x*", "shuts out ada"),
    ("DenyUsers *@198.51.100.*", "shuts out ada"),
    ("DenyGroups developers", "shuts out ada"),
    ("DenyGroups opensafely-people", "shuts out ada"),
    ("AllowUsers ada grace mallory", "shuts out rita"),
    ("AllowGroups mallory", "lets in groups"),
    ("AllowUsers ada grace rita", "shuts out ubuntu"),
]


@pytest.mark.parametrize(("line", "why"), SHUTS)
def test_lists_of_others(host, line, why):
    path = f"{DROP_INS}/60-theirs.conf"
    with on_host(host, path, f"# theirs\n\n{line}\n"):
        refuses(host, path, 3, why)


def test_lists_of_others_in_the_main_file(host):
    text = host.read(MAIN)
    with edited(host, MAIN, f"{text}AllowUsers mallory\n"):
        refuses(host, MAIN, text.count("\n") + 1, "shuts out ada")


@pytest.mark.parametrize(
    "line",
    [
        "UsePAM no",
        "usepam=no",
        "PasswordAuthentication yes",
        "PermitRootLogin yes",
        "Match User ada\n  AuthorizedKeysFile .ssh/authorized_keys",
    ],
)
def test_what_comes_before_ours(host, line):
    path = f"{DROP_INS}/00-a.conf"
    with on_host(host, path, line + "\n"):
        refuses(host, path, line.count("\n") + 1, "wins")


def test_what_a_file_before_ours_includes(host):
    path = "/etc/ssh/zz.conf"
    include = on_host(host, f"{DROP_INS}/00-a.conf", f"Include {path}\n")
    with include, on_host(host, path, "PasswordAuthentication yes\n"):
        refuses(host, path, 1, "comes first and wins")


def test_what_comes_after_ours_loses(host):
    text = host.read(MAIN)
    assert "UsePAM yes" in text
    worse = text.replace("UsePAM yes", "UsePAM no")
    later = (
        "PasswordAuthentication yes\nKbdInteractiveAuthentication yes\n"
        "PermitRootLogin yes\nAllowTcpForwarding yes\nUsePAM no\n"
        "AuthorizedKeysFile .ssh/authorized_keys\n"
        "Match User ada\nDisableForwarding no\n"
        "AuthorizedKeysFile .ssh/authorized_keys\n"
    )
    drop_in = sshd_reads(host, f"{DROP_INS}/50-cloud-init.conf", later)
    with edited(host, MAIN, worse), drop_in:
        like_new(host)
        assert heals(host)
        assert lets_in(host, "ada", "rita", "ubuntu")
        shown = host.run("sshd -T -C user=ada,host=h,addr=192.0.2.1").stdout
        for line in ("usepam yes", "passwordauthentication no", "permitrootlogin no"):
            assert f"{line}\n" in shown
        assert "authorizedkeysfile /etc/ssh/opensafely_keys/%u\n" in shown


@pytest.mark.parametrize("spoil", ["s/^Include/# Include/", "/^Include/d"])
def test_no_include(host, spoil):
    before = host.read(MAIN)
    host.run(f"sed -i '{spoil}' {MAIN}")
    with untouched(host):
        done = manage(host, backend="emis")
    refused(done, f"does not begin with `Include {DROP_INS}/*.conf`")
    host.run(done.stderr.partition("try: ")[2].partition("\n")[0])
    assert manage(host, "--offline --only ssh", backend="emis").returncode == 0
    host.run(f"cat > {MAIN}", stdin=before)


def test_a_file_that_includes_itself(host):
    path = f"{DROP_INS}/60-loop.conf"
    with on_host(host, path, f"Include {path}\n"), untouched(host):
        refused(manage(host, backend="emis"))


@pytest.mark.parametrize("ours", ["as declared", "not there yet"])
def test_a_broken_drop_in_is_there_already(host, ours):
    host.run(f"cp {OURS} /root/ours")
    with on_host(host, f"{DROP_INS}/60-broken.conf", "Nonsense yes\n"):
        if ours == "not there yet":
            host.run(f"rm {OURS}")
        with untouched(host):
            done = manage(host, backend="emis")
    host.run(f"mv /root/ours {OURS}")
    refused(done, "Nonsense")
    assert heals(host)
