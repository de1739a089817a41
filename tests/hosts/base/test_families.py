"""Kinds of sockets that come as modules, on a kernel of Debian's that has them.

That kernel is the one for clouds: it has no RXRPC, PPPOX and CAN, which others have.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sandbox import qemu
from sandbox.command import output
from tests.hosts.docker.canaries import make_image
from tests.hosts.managing import manage, rests
from tests.hosts.programs import wait_until


pytestmark = [pytest.mark.share("doors"), pytest.mark.long]

SCRIPT = Path(__file__).with_name("kinds.py")
PLACE = "/usr/local/lib/tests/kinds.py"
KINDS = f"/usr/bin/python3 -I -S {PLACE}"
LOG = "/home/gus/kinds.log"
RULES = "/etc/modprobe.d/opensafely.conf"
AS_GUS = "setpriv --reuid gus --regid gus --init-groups"
WAYS = ("", "int 0x80: ", "io_uring: ")
JUDGED = {"1", "2", "10", "16"}
# VSOCK, SMC, SCTP, L2TP: whoever asks for one has it loaded.
ASKED_FOR = {"40", "43", "2/132", "2/115"}
# Besides TIPC, RDS and DCCP, which Debian loads by name only, and KCM.
BY_NAME = "tipc vsock smc sctp l2tp_ip l2tp_ip6 rds kcm dccp_ipv4 dccp_ipv6"
LOADED = {*ASKED_FOR, "21", "30", "41", "2/33", "10/33", "10/132", "10/115"}
OWNERLESS = """
table inet families {
    counter seen { }
    chain seen {
        type filter hook prerouting priority -300; policy accept;
        iifname "br0" meta l4proto { sctp, dccp } counter name seen
    }
}
"""
CONNECT = "import socket; socket.socket(2, {type}, {protocol}).connect(('{to}', 80))"


@pytest.fixture(scope="module")
def reviewer(guest):
    """A guest, with somebody who has no network."""
    guest.write(PLACE, SCRIPT.read_text())
    guest.run("chmod 755 /usr/local/lib/tests; useradd --create-home gus")
    uid = guest.run("id -u gus").stdout.strip()
    guest.run(f"nft add element inet opensafely reviewers {{ {uid} }}")
    return guest


def unlimited(guest):
    """As gus, started by what has no limits."""
    return {*guest.run(f"{AS_GUS} {KINDS}").stdout.splitlines()}


def families(found):
    """Of what was opened, that which somebody could use outside a namespace of their own."""
    return {kind for kind in found if not kind.startswith(("in a namespace", "done"))}


def test_no_call_loads_a_module(reviewer):
    known = {way + kind for way in WAYS for kind in JUDGED | {"38"}}
    assert families(unlimited(reviewer)) <= known
    reviewer.run(f"mv {RULES} /root")
    assert families(unlimited(reviewer)) > {w + k for w in WAYS for k in ASKED_FOR}
    reviewer.run(f"mv /root/opensafely.conf {RULES}")


def test_limits_hold_where_modules_are_loaded(reviewer):
    """By cron, a user manager, ssh and in a container; also frames, in a namespace of one's own."""
    guest = reviewer
    guest.run(f"modprobe -a {BY_NAME}")
    free = unlimited(guest)
    assert free > {way + kind for way in WAYS for kind in LOADED}
    assert "in a namespace: 17" in free

    protocols = {kind for kind in LOADED if "/" in kind}
    allowed = {
        f"{where}{kind}"
        for where in ("", "in a namespace: ")
        for kind in JUDGED | protocols
    }
    uid = guest.run("id -u gus; loginctl enable-linger gus").stdout.strip()
    manager = f"test -S /run/user/{uid}/systemd/private"
    wait_until(lambda: not guest.run(manager, check=False).returncode, 120)
    own = f"{AS_GUS} env XDG_RUNTIME_DIR=/run/user/{uid} systemd-run --user --quiet"
    guest.run(f"{own} sh -c '{KINDS} >{LOG}'")
    assert {"1", "2"} < told(guest) <= allowed
    guest.run("loginctl disable-linger gus")

    cron = f"* * * * * {KINDS} >{LOG}.new && mv {LOG}.new {LOG}\n"
    guest.run("crontab -u gus -", stdin=cron)
    assert {"1", "2"} < told(guest) <= allowed
    guest.run("crontab -u gus -r")

    ada = guest.ssh("ada", guest.people["ada"].key, KINDS).stdout.splitlines()
    assert {"1", "2"} < {*ada} - {"done"} <= allowed | {"in a namespace: 17"}

    make_image(guest)
    own = " ".join(f"-v {path}:{path}:ro" for path in ("/usr", "/lib", "/lib64"))
    job = guest.run(f"docker run --rm --network none {own} canary {KINDS}")
    assert {"1", "2"} < {*job.stdout.splitlines()} - {"done"} <= allowed


def told(guest):
    wait_until(lambda: "done\n" in guest.run(f"cat {LOG}", check=False).stdout, 180)
    return {*guest.run(f"cat {LOG}; rm {LOG}").stdout.splitlines()} - {"done"}


def test_protocols_that_are_loaded_are_judged(reviewer):
    """SCTP and DCCP are families of no limit: what somebody sends by them has an owner."""
    lab, kinds = reviewer.lab, ((1, 132), (6, 33))
    reviewer.run(f"modprobe -a {BY_NAME}")
    lab.nft(OWNERLESS)
    try:
        for who, seen in ((AS_GUS, False), ("", True)):
            for kind, protocol in kinds:
                before = packets(lab)
                words = CONNECT.format(
                    type=kind, protocol=protocol, to=reviewer.gateway
                )
                line = f'timeout 5 {who} python3 -I -S -c "{words}"'
                assert reviewer.run(line, check=False).returncode
                assert (packets(lab) > before) is seen
    finally:
        lab.nft("delete table inet families\n")


def packets(lab):
    listed = output(*lab.inside("nft", "list", "counters", "table", "inet", "families"))
    return int(re.search(r"packets (\d+)", listed).group(1))


def test_a_kernel_that_is_booted_without_ipv6(guest, monkeypatch):
    """NASA-AMMOS/AIT-Core#399, moby/moby#49504: rules, docker and a run do without."""
    guest.run("sync")
    guest.kill()
    line = f"{qemu.KERNEL_COMMAND_LINE} ipv6.disable=1"
    monkeypatch.setattr(qemu, "KERNEL_COMMAND_LINE", line)
    guest.boot()
    assert "ipv6.disable=1" in guest.read("/proc/cmdline")
    assert guest.run("ls -d /proc/sys/net/ipv6", check=False).returncode
    wait_until(
        lambda: not guest.run("systemctl is-active docker", check=False).returncode, 300
    )
    print(guest.run("systemctl --failed --no-legend").stdout)
    tables = guest.run("nft list tables").stdout.splitlines()
    assert {"table inet opensafely", "table inet opensafely_limits"} <= {*tables}
    guest.run("nft flush ruleset; rm /etc/ssh/sshd_config.d/00-opensafely.conf")
    done = manage(guest, "--offline", "tpp")
    print(done.stdout)
    assert done.returncode in (0, 4), done.stdout + done.stderr
    guest.run("systemctl restart docker", timeout_s=300)
    assert "jobrunner-db" in guest.run("docker network ls").stdout
    assert manage(guest, "--offline", "tpp").returncode in (0, 4)
    assert rests(guest, "tpp", "--offline")
    assert "reviewers" in guest.run("nft list table inet opensafely").stdout
    status = manage(guest, "status", "tpp")
    print(status.stdout)
    assert "Traceback" not in status.stderr
    key = guest.people["ada"].key
    assert guest.ssh("ada", key, "id -un").stdout == "ada\n"
