"""Who gets into a host over ssh, and how far: tried with real logins."""

from __future__ import annotations

import os
import socket
import time

import pytest

from sandbox.command import run
from sandbox.fixtures import cloud_init_sshd, ubuntu_user
from sandbox.network import INTERNET
from tests.hosts.doors import (
    KEYS,
    ONLY_KEYS,
    desk,
    heals,
    lets_in,
    on_host,
    opens,
    ssh,
    stranger,
)
from tests.hosts.managing import CHECKOUT, edited, manage
from tests.hosts.programs import talking


pytestmark = pytest.mark.share("access")


@pytest.fixture(scope="module")
def mallory(tmp_path_factory):
    return stranger(tmp_path_factory.mktemp("mallory"))


@pytest.fixture(scope="module")
def host(shared_warm_host, mallory):
    """Everybody, allowed or not, has mallory's key at home, where the provider's account has it."""
    host = shared_warm_host("emis", shape=[ubuntu_user, cloud_init_sshd])
    host.run("useradd -m mallory")
    for home in ("root", "home/opensafely", "home/gus", "home/ada", "home/mallory"):
        name = home.rpartition("/")[2]
        folder = f"/{home}/.ssh"
        host.run(f"install -d -m 700 -o {name} -g {name} {folder}")
        host.write(f"{folder}/authorized_keys", f"{mallory.public_key}\n", 0o600)
        host.run(f"chown {name}: {folder}/authorized_keys")
    assert heals(host)
    return host


def test_roles_that_come_by_ssh_get_in(host):
    assert lets_in(host, "ada", "grace", "rita", "ubuntu")


@pytest.mark.parametrize(
    "name", ["gus", "opensafely", "root", "mallory", "opensafely-canary", "nobody"]
)
def test_nobody_else_gets_in(host, mallory, name):
    for key in (mallory.key, host.people["gus"].key, host.people["ada"].key):
        assert not opens(host, name, key)


@pytest.mark.parametrize("name", ["ada", "rita", "gus", "ubuntu", "root", "nosuch"])
def test_nothing_but_a_key_is_offered(host, name):
    """Though cloud-init's drop-in says yes to passwords."""
    options = ("-oBatchMode=no", "-oPubkeyAuthentication=no")
    done = ssh(host, name, host.people["ada"].key, options=options)
    assert (done.returncode, done.stdout) == (255, "")
    assert ONLY_KEYS in done.stderr


def test_a_key_of_ones_own_choice_does_not_open(host, mallory):
    assert host.read("/home/ada/.ssh/authorized_keys") == f"{mallory.public_key}\n"
    assert not opens(host, "ada", mallory.key)
    assert opens(host, "ada", host.people["ada"].key)


def test_a_home_whose_ssh_folder_is_a_link(host, mallory):
    """It opens nothing, and nothing is written through it."""
    host.run(
        "mv /home/rita/.ssh /home/rita/old 2>/dev/null; ln -s /etc /home/rita/.ssh"
    )
    host.run("chown -h rita: /home/rita/.ssh")
    with on_host(host, "/etc/authorized_keys", f"{mallory.public_key}\n"):
        with untouched_but_history(host):
            assert heals(host)
        assert not opens(host, "rita", mallory.key)
        assert opens(host, "rita", host.people["rita"].key)
    host.run("rm /home/rita/.ssh")


def untouched_but_history(host):
    return edited(host, "/var/log/opensafely/history.jsonl", "")


def test_a_key_that_was_taken_away(host, mallory, outside):
    outside.github("ada", mallory.public_key)
    host.run(f"touch {KEYS}/stray && cp {KEYS}/ada {KEYS}/mallory")
    host.run(f"ln -s /home/ada/.ssh/authorized_keys {KEYS}/link")
    with edited(host, f"{CHECKOUT}/keys/ada", f"{mallory.public_key}\n"):
        done = manage(host, backend="emis")
        assert done.returncode == 0, done.stderr
        assert opens(host, "ada", mallory.key)
        assert not opens(host, "ada", host.people["ada"].key)
        assert host.run(f"ls {KEYS}").stdout.split() == ["ada", "grace", "gus", "rita"]
        assert rests_dirty(host)
    outside.reset()
    assert manage(host, backend="emis").returncode == 0
    assert not opens(host, "ada", mallory.key)
    assert opens(host, "ada", host.people["ada"].key)
    assert heals(host)


def rests_dirty(host):
    return "checkout has local changes" in manage(host, backend="emis").stdout


def test_a_key_file_that_is_bent(host):
    """A link, a mode, other lines: each is put right, and nobody loses the way in."""
    for spoil in (
        f"chmod 666 {KEYS}/ada",
        f"chown ada {KEYS}/ada",
        f"cat /home/mallory/.ssh/authorized_keys >> {KEYS}/ada",
        f"mv {KEYS}/ada /home/ada/keys; ln -s /home/ada/keys {KEYS}/ada",
        f"chown ada {KEYS}",
        f"chmod 777 {KEYS}",
    ):
        host.run(spoil)
        done = manage(host, backend="emis")
        assert done.returncode == 0, spoil + done.stderr
        assert heals(host)
        assert opens(host, "ada", host.people["ada"].key)


# ---- no way on from here


ALOUD = ("-oLogLevel=INFO",)


def dials(host, name, *options):
    """What ssh says that is to open a connection of this account's to somewhere."""
    return ssh(host, name, host.people[name].key, options=(*options, *ALOUD))


@pytest.mark.parametrize(
    ("to", "greeting"),
    [(f"{INTERNET}:22", "sandbox"), ("127.0.0.1:22", "SSH-"), ("[::1]:22", "SSH-")],
)
def test_no_connection_to_elsewhere(host, to, greeting):
    """The provider's account shows that there is somebody who would answer."""
    argv = host.ssh_argv("ubuntu", host.people["ubuntu"].key)
    with talking([argv[0], "-W", to, *argv[1:]]) as allowed:
        allowed.until(greeting)
    for name in ("ada", "rita"):
        done = dials(host, name, "-W", to)
        assert (done.returncode, done.stdout) == (255, "")
        assert "open failed: administratively prohibited" in done.stderr


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.mark.parametrize("kind", ["-L", "-D", "-L to a socket"])
@pytest.mark.parametrize(("name", "answers"), [("ubuntu", True), ("ada", False)])
def test_no_tunnel(host, kind, name, answers):
    port = free_port()
    ways = {
        "-L": ["-L", f"127.0.0.1:{port}:127.0.0.1:22"],
        "-D": ["-D", f"127.0.0.1:{port}"],
        "-L to a socket": ["-L", f"127.0.0.1:{port}:/run/dbus/system_bus_socket"],
    }
    says = {"-L": b"", "-D": SOCKS, "-L to a socket": b"\0AUTH\r\n"}
    argv = host.ssh_argv(name, host.people[name].key)
    with talking([argv[0], "-N", *ways[kind], *argv[1:]]):
        assert bool(through(port, says[kind], kind == "-D")) == answers


# To 127.0.0.1, port 22, by version 5 of the protocol.
SOCKS = b"\x05\x01\x00" + b"\x05\x01\x00\x01\x7f\0\0\x01\0\x16"


def through(port, hello, socks):
    """What comes back through the tunnel; past what ssh itself answers to SOCKS."""
    deadline = time.monotonic() + 10
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port), 5)
            break
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    with connection:
        connection.sendall(hello)
        try:
            if socks:
                connection.recv(2)
                if connection.recv(10)[1:2] != b"\0":
                    return b""
            return connection.recv(4)
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize("listen", ["0:127.0.0.1:22", "/tmp/far:/tmp/near", "0"])
def test_no_way_back(host, listen):
    asked = ("-oExitOnForwardFailure=yes", "-R", listen)
    assert dials(host, "ubuntu", *asked).returncode == 0
    for name in ("ada", "rita"):
        done = dials(host, name, *asked)
        assert done.returncode == 255
        assert "remote port forwarding failed" in done.stderr


def test_no_agent_comes_along(host):
    shows = 'test -S "$SSH_AUTH_SOCK" && echo agent'
    for name, said in (("ubuntu", "agent\n"), ("ada", ""), ("rita", "")):
        argv = host.ssh_argv(name, host.people[name].key, f"{shows} || true")
        assert run("ssh-agent", argv[0], "-A", *argv[1:]).stdout == said


def test_no_display_comes_along(host):
    argv = host.ssh_argv("ada", host.people["ada"].key, "echo DISPLAY=$DISPLAY")
    asked = ("-Y", "-v", "-oXAuthLocation=/bin/true")
    environment = {**os.environ, "DISPLAY": ":77"}
    done = run(argv[0], *asked, *argv[1:], env=environment)
    assert "Requesting X11 forwarding" in done.stderr
    assert done.stdout == "DISPLAY=\n"


def test_no_tunnel_device(host, lab):
    argv = host.ssh_argv("ada", host.people["ada"].key, "true")
    done = run(*lab.inside(argv[0], "-w", "any:any", *ALOUD, *argv[1:]), check=False)
    assert "Tunnel forwarding failed" in done.stderr


def test_what_a_session_is_told(host):
    with desk(host, "ada", "cat /proc/self/loginuid; echo; tty") as terminal:
        assert terminal.end() == 0
    uid = host.run("id -u ada").stdout
    assert uid in terminal.seen
    assert "/dev/pts/" in terminal.seen
