"""Packages: what is declared is there, what is to go goes, and nothing else moves."""

from __future__ import annotations

import pytest

from tests.hosts.managing import CHECKOUT, edited, manage, refused, rests, untouched


PURGE = f"{CHECKOUT}/packages/purge.txt"
# A package of one file and one conffile, made in the host itself.
BUILD = """
mkdir -p /root/$1/DEBIAN /root/$1/etc
printf 'Package: %s\\nVersion: 1\\nArchitecture: all\\nMaintainer: none\\nDescription: trial\\n' $1 \
    > /root/$1/DEBIAN/control
[ -z "$2" ] || echo "Depends: $2" >> /root/$1/DEBIAN/control
echo hello > /root/$1/etc/$1.conf; echo /etc/$1.conf > /root/$1/DEBIAN/conffiles
dpkg-deb -b /root/$1 /root/$1.deb && dpkg -i /root/$1.deb && rm -r /root/$1*
"""


@pytest.fixture(scope="module")
def host(shared_warm_host):
    host = shared_warm_host("test")
    assert rests(host)
    return host


def install(host, name, needs=""):
    host.run(f"set -e; build() {{ {BUILD}\n}}; build {name} {needs or chr(39) * 2}")


def test_purge(host):
    install(host, "chatty")
    install(host, "needs-it", "chatty")
    with edited(host, PURGE, "chatty\n"):
        with untouched(host):
            done = manage(host)
        refused(done, "purging chatty would also remove needs-it", "purge.txt")
        hint = done.stderr.partition("try: ")[2].partition("\n")[0]
        host.run(f"echo y | {hint}")  # apt-get asks
        assert host.run("dpkg -s needs-it", check=False).returncode == 1
        assert manage(host).returncode == 0
        assert host.run("dpkg -s chatty", check=False).returncode == 1
        assert host.run("test -e /etc/chatty.conf", check=False).returncode == 1
    assert rests(host)


def test_left_configuration_is_purged(host):
    """`removed` is not yet gone: the configuration of what must not run is still there."""
    install(host, "chatty")
    host.run("dpkg --remove chatty && test -e /etc/chatty.conf")
    with edited(host, PURGE, "chatty\n"):
        assert manage(host).returncode == 0
        assert host.run("test -e /etc/chatty.conf", check=False).returncode == 1


def test_what_is_removed_comes_back_and_nothing_else_moves(host):
    host.run("apt-get -qq purge tree iotop && apt-mark hold acl")
    before = set(host.run("dpkg-query -W").stdout.splitlines())
    assert manage(host).returncode == 0
    after = set(host.run("dpkg-query -W").stdout.splitlines())
    assert before <= after
    assert {line.split("\t")[0] for line in after - before} == {"tree", "iotop"}
    assert rests(host)  # a package on hold is installed, too


def test_package_that_does_not_exist(host):
    with edited(host, f"{CHECKOUT}/packages/extra.txt", "no-such-package\n"):
        done = manage(host)
        assert done.returncode == 1
        assert "no-such-package" in done.stdout
    assert rests(host)


def test_names_survive_cloud_init(warm_host):
    """cloud-init writes /etc/hosts anew at each boot, where the provider asked for that."""
    host = warm_host("test")
    host.run(
        "DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends cloud-init"
    )
    settings = "manage_etc_hosts: true\ndatasource_list: [None]\nusers: []\n"
    host.write("/etc/cloud/cloud.cfg.d/99-trial.cfg", settings)
    assert manage(host).returncode == 0
    assert "{{fqdn}}" in host.read("/etc/cloud/templates/hosts.debian.tmpl")
    host.run("cloud-init init --local && cloud-init init")
    host.run("cloud-init single --name update_etc_hosts --frequency always")
    found = host.read("/etc/hosts")
    assert "127.0.1.1" in found
    assert "{{" not in found
    assert host.run("getent hosts jobs.opensafely.org").stdout.startswith(
        "157.245.31.108 "
    )
    assert rests(host)


def test_security_updates(host):
    """They flow, and pass over what would end jobs."""
    timers = host.run("systemctl is-enabled apt-daily.timer apt-daily-upgrade.timer")
    assert timers.stdout == "enabled\nenabled\n"
    asked = "apt-config dump | grep -E '^APT::Periodic::(Update|Unattended)'"
    assert host.run(asked).stdout.count('"1"') == 2
    done = host.run("unattended-upgrade --dry-run -d 2>&1")
    blacklist = next(line for line in done.stdout.splitlines() if "blacklist:" in line)
    for name in ("docker", "containerd", "runc"):
        assert name in blacklist
    assert "-security" in done.stdout
