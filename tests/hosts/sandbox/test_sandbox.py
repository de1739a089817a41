"""The disposable hosts themselves: they boot, they are closed in, they go away."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from sandbox import fixtures, leftovers
from sandbox.checkout import HERE
from sandbox.errors import CannotRun, SandboxError
from sandbox.network import INTERNET, Lab
from sandbox.outside import ARCHIVES
from sandbox.sandbox import Sandbox
from tests.hosts.releases import NEIGHBOURS


THROUGH_STAND_INS = f"""
set -e
address=$(cat /srv/backend-server/*/hosts | grep -m1 archive-ubuntu | cut -d' ' -f1)
echo "$address {" ".join(ARCHIVES)}" >> /etc/hosts
sed -i -e 's,http[^ ]*/debian ,https://{ARCHIVES[0]}/debian ,' \\
    -e 's,http[^ ]*/debian-security ,https://{ARCHIVES[1]}/debian-security ,' \\
    /etc/apt/sources.list
"""
UPDATE = "apt-get -qq update -o APT::Update::Error-Mode=any -o Acquire::Retries=0"


def connects(host, address, port):
    """Whether the host gets a connection; bash needs no program for that."""
    line = f"timeout 5 bash -c '</dev/tcp/{address}/{port}'"
    return host.run(line, check=False).returncode == 0


@pytest.fixture(scope="module")
def host(shared_bare_host):
    return shared_bare_host("bookworm", shape=[fixtures.cloud_init_hosts])


def test_a_bare_host_has_nothing_but_bash_and_git(host):
    assert host.state == "running"
    assert host.run("command -v python3 curl nft", check=False).returncode != 0
    assert host.run("ls /var/lib/apt/lists/*Packages", check=False).returncode == 2
    assert host.run("git -C /srv/backend-server status --porcelain").stdout == ""
    others = "find /srv/backend-server ! -user root -o ! -type l -perm /022"
    assert host.run(others).stdout == ""
    roster = host.read("/srv/backend-server/developers")
    assert roster == "ada\ngrace\n"


def test_run_says_what_happened(host):
    done = host.run(
        "cat; echo said >&2; echo $NAME; exit 7", False, "in\n", {"NAME": "n"}
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, "in\nn\n", "said\n")
    with pytest.raises(Exception, match="exit 7 from"):
        host.run("exit 7")


def test_a_reboot_is_a_new_boot(host):
    before = host.boot_id
    host.run("touch /run/gone /var/kept")
    host.reboot()
    assert host.boot_id != before
    assert host.run("ls /run/gone /var/kept", check=False).stdout == "/var/kept\n"


def test_a_name_is_taken_once(sandbox, host):
    with pytest.raises(SandboxError, match=f"a host called {host.name} already"):
        sandbox.bare("bookworm", name=host.name)
    assert host.run("true").returncode == 0


def test_no_clock_to_set(host):
    assert host.run("date -s @0", check=False).returncode != 0


@pytest.mark.parametrize("release", NEIGHBOURS)
def test_other_releases_boot(bare_host, release):
    host = bare_host(release)
    assert host.state == "running"
    assert host.run("command -v python3", check=False).returncode != 0
    assert host.reboot().state == "running"


def test_people_get_in_by_key(host, people):
    host.run("useradd -m -s /bin/bash ada")
    host.write("home/ada/.ssh/authorized_keys", people["ada"].public_key + "\n")
    assert host.ssh("ada", people["ada"].key, "id -un").stdout == "ada\n"
    assert host.ssh("ada", people["gus"].key, "true", check=False).returncode == 255


def test_the_shape_of_a_cloud(bare_host):
    shape = [fixtures.cloud_init_sshd, fixtures.ubuntu_user, fixtures.ssh_socket]
    host = bare_host("bookworm", shape=shape)
    assert "passwordauthentication yes" in host.run("sshd -T").stdout
    enabled = host.run("systemctl is-enabled ssh.service ssh.socket", check=False)
    assert enabled.stdout == "disabled\nenabled\n"
    key = host.people["ubuntu"].key
    assert host.ssh("ubuntu", key, "sudo -n id -un").stdout == "root\n"


def test_the_internet_is_ours(host, lab, outside):
    before = lab.rejected()
    assert all(connects(host, INTERNET, port) for port in (22, 25, 53, 80, 443, 445))
    assert not connects(host, INTERNET, 81)
    assert lab.rejected() == before


@pytest.fixture
def elsewhere(lab):
    """Another network of ours behind the lab, with something that listens."""
    name, address = f"else{os.getpid()}", "198.51.100.78"
    steps = (
        f"ip netns add {name}",
        f"ip -n {lab.name} link add else0 type veth peer lab0 netns {name}",
        f"ip -n {lab.name} addr add 198.51.100.77/30 dev else0",
        f"ip -n {lab.name} link set else0 up",
        f"ip -n {name} addr add {address}/30 dev lab0",
        f"ip -n {name} link set lab0 up",
        f"ip -n {name} route add 10.77.0.0/16 via 198.51.100.77",
    )
    for step in steps:
        subprocess.run(step.split(), check=True)
    listen = f"import socket as s; l = s.create_server(({address!r}, 8000)); l.accept()"
    listener = subprocess.Popen(
        ["nsenter", f"--net=/run/netns/{name}", sys.executable, "-c", listen]
    )
    yield address, 8000
    listener.kill()
    listener.wait()
    subprocess.run(["ip", "netns", "delete", name], check=True)


def test_what_leaves_is_rejected_and_counted(host, lab, elsewhere):
    address, port = elsewhere
    line = f"for i in $(seq 50); do </dev/tcp/{address}/{port} && exit; sleep 0.1; done"
    here = lab.inside("bash", "-c", f"({line}) 2>/dev/null")
    assert subprocess.call(here) == 0
    before = lab.rejected()
    assert not connects(host, address, port)
    assert lab.rejected() > before
    assert f"{address}:{port}" in lab.refused()


def test_apt_through_the_stand_ins(bare_host, lab, outside):
    host = bare_host("bookworm")
    before = lab.rejected()
    host.run(THROUGH_STAND_INS)
    host.run(f"{UPDATE} && apt-get -qq install -y --no-install-recommends tree")
    assert any(
        ARCHIVES[0] in line and "InRelease" in line for line in outside.requests()
    )
    outside.stop([ARCHIVES[0]])
    assert host.run(UPDATE, check=False).returncode == 100
    outside.start()
    host.run(UPDATE)
    assert lab.rejected() == before, lab.refused()


def test_the_archive_goes_away_and_comes_back(bare_host, lab):
    host = bare_host("bookworm")
    before = lab.rejected()
    host.run(UPDATE)
    lab.archive_down()
    assert host.run(UPDATE, check=False).returncode == 100
    lab.archive_up()
    host.run(UPDATE)
    host.unplug()
    assert host.run(UPDATE, check=False, timeout_s=120).returncode == 100
    host.plug()
    host.run(UPDATE)
    assert lab.rejected() == before, lab.refused()


def test_two_labs_are_apart(host, left_of):
    with Sandbox() as other:
        far = other.bare("bookworm")
        assert far.address != host.address
        assert far.greets()
        assert not connects(host, far.address, 22)
        assert not connects(far, host.address, 22)
        name = other.lab.name
    assert left_of(name) == []


def test_a_killed_run_is_swept_by_the_next(lab, left_of):
    program = (
        "from sandbox.sandbox import Sandbox; import time; s = Sandbox();"
        "s.bare('bookworm'); print(s.lab.name, flush=True); time.sleep(600)"
    )
    argv = [sys.executable, "-c", program]
    with subprocess.Popen(argv, cwd=HERE, stdout=subprocess.PIPE, text=True) as run:
        name = run.stdout.readline().strip()
        with leftovers.nobody_sweeps():
            run.kill()
            run.wait()
            assert left_of(name) != []
    Lab().close()
    assert left_of(name) == []
    assert left_of(lab.name) != []


def test_a_warm_host_is_managed_once(warm_host, sandbox):
    host = warm_host("test")
    assert host.state == "running"
    assert host.run("python3 -c 'print(6 * 7)'").stdout == "42\n"
    again = time.monotonic()
    assert warm_host("test").people["ada"].key == host.people["ada"].key
    assert time.monotonic() - again < 10


def test_only_root(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CannotRun, match="made by root"):
        Sandbox()
