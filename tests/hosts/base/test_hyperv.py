"""A guest of Hyper-V: its clock, its daemons, and the names it knows."""

from __future__ import annotations

import json
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sandbox import hostclock
from sandbox.mirror import resolvers
from tests.hosts.managing import manage, marked, rests
from tests.hosts.programs import wait_until


pytestmark = pytest.mark.share("SMB")

PINNED = "github-proxy.opensafely.org"


def manage_only(guest, component):
    done = manage(guest, f"--yes --offline --only {component}", backend="tpp")
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def planned(guest):
    return json.loads(manage(guest, "plan --offline --json", backend="tpp").stdout)


def seconds_off(guest):
    """How far its clock is from this machine's, in seconds."""
    return abs(float(guest.run("date +%s.%N").stdout) - time.time())


def offer_clock(guest):
    """The guest has the device by which Hyper-V tells the time."""
    start = "systemd-run --quiet --collect --unit=hostclock python3 /root/hostclock.py"
    guest.run(f"modprobe cuse && {start} {time.time():.3f}")
    guest.run("until [ -c /dev/ptp0 ]; do sleep 0.1; done; ln -s ptp0 /dev/ptp_hyperv")


def take_clock(guest):
    guest.run("systemctl stop hostclock; rm -f /dev/ptp_hyperv")


def sources(guest):
    """What chronyd takes the time from, a line each; none where it does not run."""
    listed = guest.run("sleep 1; chronyc -n sources", check=False).stdout
    return listed.partition("=\n")[2].splitlines()


def follows_host(guest):
    return [line[:7] for line in sources(guest)] == ["#* PHC0"]


@pytest.fixture
def hosts_clock(guest):
    """The guest is offered the host's clock, and is an hour ahead."""
    # A jump makes every timer due, and emulated, one run of each is a minute.
    guest.run("systemctl stop 'opensafely-*.timer' opensafely-jobrunner")
    # chronyd's unit lets it open devices of the kind ptp, which the stand-in is not.
    drop_in = "/etc/systemd/system/chrony.service.d/standin.conf"
    guest.write(drop_in, "[Service]\nDeviceAllow=/dev/ptp0 rw\n")
    guest.write("/root/hostclock.py", Path(hostclock.__file__).read_text())
    offer_clock(guest)
    # Not behind: the certificates of the package mirror are younger than an hour.
    guest.run(f"date --set=@{time.time() + 3600:.0f}")
    yield
    take_clock(guest)


def test_the_time_is_the_hosts(guest, hosts_clock):
    assert seconds_off(guest) > 3500
    manage_only(guest, "clock")
    wait_until(lambda: follows_host(guest), timeout_s=180)
    assert seconds_off(guest) < 60
    left = guest.run("systemctl is-active systemd-timesyncd", check=False)
    assert left.stdout == "inactive\n"
    # The run may have written its line before the clock went back.
    guest.run("touch /var/log/opensafely/history.jsonl")
    assert rests(guest, backend="tpp", words="--offline --only clock")

    take_clock(guest)
    guest.run("systemctl restart chrony", check=False)
    said = manage(guest, "status", backend="tpp").stdout
    assert "nothing sets the clock: there is no /dev/ptp_hyperv" in said
    offer_clock(guest)
    wait_until(lambda: follows_host(guest), timeout_s=180)


def test_daemons_rest_where_the_host_offers_nothing(guest):
    """The guest has booted with their packages: no daemon runs, and none failed for that."""
    guest.run("test -x /usr/sbin/hv_kvp_daemon && mkdir /dev/vmbus")
    manage_only(guest, "hyperv")
    read = guest.run("udevadm test /sys/class/mem/null 2>&1").stdout
    (line,) = [line for line in read.splitlines() if "opensafely-clock" in line]
    assert line.startswith("Reading rules file: "), "udev understands the clock's rule"
    assert rests(guest, backend="tpp", words="--offline --only hyperv")
    listed = guest.run("systemctl list-units --all --plain --no-legend 'hv-*'").stdout
    assert not [line for line in listed.splitlines() if "inactive" not in line], listed


@pytest.fixture(scope="module")
def host(shared_warm_host):
    """A host on which something brings name servers back, as vendors' images have it."""
    host = shared_warm_host("tpp")
    install = (
        "DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install"
    )
    servers = f"[Resolve]\nDNS={' '.join(resolvers())}\nFallbackDNS=\n"
    host.write("/etc/systemd/resolved.conf.d/lab.conf", servers)
    host.run("rm /etc/systemd/system/systemd-resolved.service; systemctl daemon-reload")
    host.run(f"apt-get -qq update && {install} systemd-resolved")
    host.run("systemctl reload dbus; systemctl enable systemd-resolved")
    host.run("systemctl restart systemd-resolved")
    host.run("ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf")
    host.run("sed -i 's/^hosts:.*/hosts: files dns/' /etc/nsswitch.conf")
    return marked(host)


def test_no_name_server_is_asked(host, sandbox):
    name = urlsplit(next(iter(sandbox.mirror.locations.values()))).hostname
    ways = (f"getent ahostsv4 {name}", f"resolvectl query {name}")
    for way in ways:
        assert host.run(way).stdout, "a name server is there, and knows it"
    manage_only(host, "hosts")
    for _ in range(2):
        for way in ways:
            assert host.run(way, check=False).returncode != 0
        for name in (PINNED, "$(hostname)"):
            assert host.run(f"getent ahostsv4 {name}").stdout
        assert rests(host, backend="tpp", words="--offline")
        host.reboot()


def test_kernel_and_daemons_come_with_a_run(host):
    host.run("mkdir -p /dev/vmbus")
    manage_only(host, "hyperv")
    host.run("test -x /usr/sbin/hv_kvp_daemon && ls /boot/vmlinuz-*-cloud-amd64")
    assert rests(host, backend="tpp", words="--offline --only hyperv")
