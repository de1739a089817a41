"""Where sshd listens, and whom it takes: asked of the kernel and of sshd, and told when it fails.

Inputs are those of people's reports; each says whose.
"""

from __future__ import annotations

import contextlib

import pytest

from sandbox.command import run
from tests.hosts.doors import OURS, RESTART, bent, lets_in, nothing_left, opens, ssh
from tests.hosts.managing import CHECKOUT, manage
from tests.sampling import one_of


pytestmark = pytest.mark.share("in force")

SSH = "etc/ssh/sshd_config.d/00-opensafely.conf"
THEIRS = "/etc/ssh/sshd_config.d/10-provider.conf"
HARDENED = "/etc/ssh/sshd_config.d/50-hardening.conf"
GRACE = iter(range(31, 119))


@pytest.fixture(scope="module")
def host(shared_warm_host):
    made = shared_warm_host("emis")
    made.run("ip -6 addr add fd00::10/64 dev lo nodad")
    return made


@contextlib.contextmanager
def written(host, *files):
    """The provider's own files are there meanwhile, and sshd goes by them."""
    for path, text in files:
        host.run(
            f"mkdir -p $(dirname {path}); test -e {path} && cp -a {path} {path}.was || true"
        )
        host.run(f"cat > {path}", stdin=text)
    host.run(RESTART)
    try:
        yield
    finally:
        for path, _ in files:
            host.run(f"rm {path}; test ! -e {path}.was || mv {path}.was {path}")
        host.run(RESTART)


def changed(host, words="--offline"):
    """A run that has something of sshd's to change; and whether that is in force."""
    seconds = next(GRACE)
    with bent(host, SSH, "LoginGraceTime 30", f"LoginGraceTime {seconds}"):
        done = manage(host, words, "emis")
    return done, f"LoginGraceTime {seconds}\n" in host.read(OURS)


PLACES = [
    # in-force/08: willshersystems/ansible-sshd#307, dev-sec/ansible-ssh-hardening#209
    "ListenAddress {own}\n",
    "ListenAddress {own}:22\nListenAddress [fd00::10]:22\n",
    "AddressFamily inet6\n",
    "ListenAddress 127.0.0.1\nListenAddress {own}\n",
    # dev-sec/ansible-collection-hardening#906 the other way round; and a port with it
    "ListenAddress fd00::10\n",
    "Port 2022\nListenAddress {own}\n",
    "ListenAddress [fd00::10]:2023\nListenAddress {own}:2024\n",
]


@pytest.mark.parametrize("text", one_of("where sshd listens", *PLACES))
def test_where_sshd_listens(host, text):
    own = host.run("hostname -I").stdout.split()[0]
    with written(host, (THEIRS, text.format(own=own))):
        done, in_force = changed(host)
        assert (done.returncode, in_force) == (0, True), done.stdout + done.stderr
        assert nothing_left(host)


# in-force/09: mikkelchokolate/Veil#633, geerlingguy/ansible-role-security#111
SOCKETS = ["2222", "{own}:2222", "[fd00::10]:22\nBindIPv6Only=ipv6-only"]


@pytest.mark.parametrize("stream", one_of("where its socket listens", *SOCKETS))
def test_where_its_socket_listens(host, stream):
    own = host.run("hostname -I").stdout.split()[0]
    text = f"[Socket]\nListenStream=\nListenStream={stream.format(own=own)}\n"
    path = "/etc/systemd/system/ssh.socket.d/port.conf"
    host.run(f"mkdir -p $(dirname {path})")
    host.write(path, text)
    host.run("systemctl daemon-reload; systemctl disable --now ssh.service")
    host.run("systemctl enable --now ssh.socket")
    try:
        done, in_force = changed(host)
        assert (done.returncode, in_force) == (0, True), done.stdout + done.stderr
    finally:
        host.run(f"systemctl disable --now ssh.socket; systemctl stop ssh; rm {path}")
        host.run(f"systemctl enable ssh.service; {RESTART}")


# ---- whom it takes


KINDS = [
    # in-force/27: dev-sec/ansible-collection-hardening#426, and hosts that are to be FIPS
    "PubkeyAcceptedAlgorithms rsa-sha2-512,rsa-sha2-256,ecdsa-sha2-nistp256\n",
    "PubkeyAcceptedAlgorithms ssh-ed25519,sk-ssh-ed25519@openssh.com\n",
    "PubkeyAcceptedKeyTypes -ssh-ed25519*,rsa-*\n",
    # konstruktoid/ansible-role-hardening#179
    "RequiredRSASize 4096\n",
    "Match User ada,grace\n RequiredRSASize 4096\n PubkeyAcceptedAlgorithms rsa-sha2-512\n",
    "PubkeyAuthentication no\n",
]
OF_KEYS = "sed -i '/PubkeyA/d; /RequiredRSA/d'"


@pytest.fixture(scope="module")
def of_rsa(host, tmp_path_factory):
    """grace has a key of RSA beside her own, as short as is taken here."""
    key = tmp_path_factory.mktemp("rsa") / "grace"
    run("ssh-keygen", "-q", "-t", "rsa", "-b", "3072", "-N", "", "-f", key)
    public = key.with_suffix(".pub").read_text()
    host.run(f"cat >> {CHECKOUT}/keys/grace", stdin=public)
    assert manage(host, "--offline", "emis").returncode == 0
    yield key
    host.run(f"cd {CHECKOUT}; git checkout -q keys")
    assert manage(host, "--offline", "emis").returncode == 0


@pytest.mark.parametrize("text", one_of("which keys", *KINDS))
def test_which_keys_are_a_way_in(host, of_rsa, text):
    """Those that the checkout takes, and for our people alone; the canary's is one of them."""
    keys = (("ada", host.people["ada"].key), ("grace", of_rsa))
    with written(host, (HARDENED, text)):
        host.run(f"{OF_KEYS} {OURS}; {RESTART}")
        said = [ssh(host, *each).returncode for each in keys]
        assert 255 in said  # a real danger
        done = manage(host, "--offline", "emis")
        assert done.returncode == 0, done.stdout + done.stderr
        assert all(opens(host, *each) for each in keys)
        as_root = "sshd -T -C user=root,host=localhost,addr=127.0.0.1"
        theirs = text.split()[:2] if "Match" not in text else ["usepam", "yes"]
        if "-" not in theirs[1][:1]:
            assert " ".join(theirs).lower() in host.run(as_root).stdout.lower()


# ---- what else keeps people out


# in-force/29: images of the CIS benchmark, with TCP wrappers or pam_access
WRAPPED = (
    ("/etc/hosts.deny", "ALL: ALL\n"),
    ("/etc/hosts.allow", "sshd: 10.0.0.0/8\n"),
)
PAM_ACCESS = "account required pam_access.so\n"
SHUT = [
    (WRAPPED, "/etc/hosts.deny:1: ALL: ALL"),
    ((("/etc/nologin", "maintenance\n"),), "/etc/nologin"),
    # systemd/systemd#8228: a boot that does not end
    ((("/run/nologin", "System is booting up.\n"),), "/run/nologin"),
    (
        (
            (
                "/etc/security/access.conf",
                "# ours\n-:ALL EXCEPT root developers ubuntu:ALL\n",
            ),
        ),
        "/etc/security/access.conf:2: -:ALL EXCEPT root",
    ),
]


@pytest.mark.parametrize(("files", "said"), SHUT)
def test_what_keeps_the_canary_out_is_said(host, files, said):
    """And doing what the hint says lets it in."""
    host.run("cp -a /etc/pam.d/sshd /root/pam-sshd")
    if "access" in said:
        host.run(f"sed -i '1i {PAM_ACCESS.strip()}' /etc/pam.d/sshd")
    try:
        with written(host, *files):
            done, in_force = changed(host)
            assert (done.returncode, in_force) == (1, False), done.stdout + done.stderr
            assert said in done.stdout, done.stdout
            hint = done.stdout.partition("try: ")[2].partition("\n")[0]
            host.run(hint)
            done, in_force = changed(host)
            assert (done.returncode, in_force) == (0, True), done.stdout + done.stderr
            host.run(f"touch {files[0][0]}")
    finally:
        host.run("cp -a /root/pam-sshd /etc/pam.d/sshd")


# What else PAM may be told to ask; sshd's own words say which of these it was.
ASKS = {
    # linux-pam/linux-pam#615, #508
    "pam_listfile": (
        "required pam_listfile.so item=user sense=allow onerr=fail file=/etc/issue",
        "pam_listfile(sshd:account): Refused user",
    ),
    # fcaviggia/hardening-script-el6#61
    "pam_succeed_if": (
        "requisite pam_succeed_if.so user ingroup provadmins",
        "pam_succeed_if(sshd:account): requirement",
    ),
    # ansible-lockdown/UBUNTU18-CIS#2, where it keeps out everybody
    "pam_deny": ("requisite pam_deny.so", "by PAM account configuration"),
}


@pytest.mark.parametrize("module", one_of("a module of PAM's", *ASKS))
def test_what_pam_was_told_to_ask_is_found_in_the_log(host, module):
    asks, said = ASKS[module]
    host.run("cp -a /etc/pam.d/sshd /root/pam-sshd")
    host.run(f"sed -i '1i account {asks}' /etc/pam.d/sshd")
    try:
        done, in_force = changed(host)
        assert (done.returncode, in_force) == (1, False), done.stdout + done.stderr
        assert "ended with exit status 255" in done.stdout, done.stdout
        hint = done.stdout.partition("try: ")[2].partition("\n")[0]
        shown = [n for n in host.run(hint).stdout.splitlines() if "canary" in n]
        assert said in "\n".join(shown), shown
    finally:
        host.run("cp -a /root/pam-sshd /etc/pam.d/sshd")
    done, in_force = changed(host)
    assert (done.returncode, in_force) == (0, True), done.stdout + done.stderr


def test_all_is_well_again(host):
    assert manage(host, "--offline", "emis").returncode == 0
    assert lets_in(host, "ada", "grace", "rita")
    assert nothing_left(host)
