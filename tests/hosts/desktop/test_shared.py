"""What all desktops share is nobody's to use up or to lead astray: sockets, memory, /run.

gus has a desktop, and with it a shell; hank comes, or is there already.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import time
from pathlib import Path

import pytest

from backend_server.text.releases import named
from sandbox import identity
from tests.hosts.desktop import exits
from tests.hosts.desktop.desktops import (
    BACKGROUND,
    OTHER,
    PASSWORD,
    as_gus,
    desktop_is_up,
    end_all,
    host_with_desktop,
    in_session,
    session,
    sessions_of,
)
from tests.hosts.desktop.exits import PLACE, PYTHON, desktop
from tests.hosts.desktop.remote import looking
from tests.hosts.doors import desk
from tests.hosts.managing import CHECKOUT, edited, manage, rests
from tests.hosts.programs import in_background, wait_until
from tests.sampling import one_of


pytestmark = pytest.mark.share("doors")

GREEDY = f"{PLACE}/greedy.py"
LIMITS = "/etc/opensafely/limits.nft"
# The kernel of these hosts cannot queue packets, and says so as others say that they cannot count.
ABSENT = """
table inet opensafely_limits
delete table inet opensafely_limits
table inet opensafely_limits {
    chain output {
        type filter hook output priority -10; policy accept;
        queue num 0
    }
}
"""
BUS, ASKED = "/run/dbus/system_bus_socket", "/run/xrdp/sockdir/sesman.socket"
ASKED_AT_LENGTH = (
    ("systemd1", "org.freedesktop.systemd1.Manager ListUnits"),
    ("login1", "org.freedesktop.login1.Manager ListSessions"),
)
AS_RITA = "runuser -u ada -- su rita -c 'id -un'"
SESMAN = "$(systemctl show --value -p MainPID xrdp-sesman)"


@pytest.fixture(scope="module", params=one_of("walls", "bookworm", "trixie"))
def host(shared_warm_host, request):
    host = host_with_desktop(
        shared_warm_host, reviewers=("gus", "hank"), release=request.param
    )
    host.write(GREEDY, Path(__file__).with_name("greedy.py").read_text())
    exits.bring(host)
    return host


@pytest.fixture(scope="module")
def both(host):
    """Each has a desktop; gus's is left for now."""
    with desktop(host, PASSWORD, whose="hank"):
        with desktop(host, PASSWORD):
            pass
        yield host


def sockets(host, whose):
    """The folder of somebody's sockets as xrdp finds it, and the name of that of the screen."""
    given = session(host, whose)
    number = given["DISPLAY"].lstrip(":").partition(".")[0]
    own = given["XRDP_SOCKET_PATH"]
    if not named(host.tree.release).xrdp.apart:
        own = f"/run/opensafely-desktop/{whose}"
    return own, f"xrdp_display_{number}"


def whom_gus_gets(host):
    """The uid of whose X server xrdp shows gus, who comes back; none where it reaches no one's."""
    since = host.run("date +%s.%N").stdout.strip()
    log = f"journalctl --no-pager -o cat -t xrdp --since=@{since}"
    with looking(host, "gus", PASSWORD) as client:

        def tried():
            said = host.run(log, check=False).stdout
            return said.partition("connecting via UNIX socket")[2]

        wait_until(tried, 60)
        with contextlib.suppress(AssertionError):
            wait_until(lambda: "_uid=" in tried() or client.shows(BACKGROUND), 5)
        found = re.search(r"_uid=(\d+)", tried())
        if found:
            wait_until(lambda: client.shows(BACKGROUND), 30)
        return found and host.run(f"id -un {found[1]}").stdout.strip()


def test_a_link_leads_to_nobody_elses_desktop(both):
    """xrdp connects by a name that gus can exchange. Where the folder is not ours, he gets hank's."""
    host = both
    (own, name), (hanks, other) = sockets(host, "gus"), sockets(host, "hank")
    theirs = session(host)["XRDP_SOCKET_PATH"]
    lead = f"cd {theirs} && mv {name} kept && ln -s {hanks}/{other} {name}"
    assert whom_gus_gets(host) == "gus"
    host.run(in_session(host, lead))
    assert host.run(f"readlink {own}/{name}").stdout == f"{hanks}/{other}\n"
    assert whom_gus_gets(host) is None
    host.run(f"umount --lazy {own}; ln -sfn {hanks}/{other} {own}/{name}")
    assert whom_gus_gets(host) == "hank"
    host.run(f"rm {own}/{name}; backend people sessions gus --end")


def test_no_program_in_a_session_makes_somebody_else(both):
    """In its folders of its own; elsewhere it does, as hank tries in gus's session."""
    host = both
    with desktop(host, PASSWORD):
        pass
    uid = host.run("id -u hank; id -u gus").stdout.split()
    host.run(f"cp /usr/bin/id {PLACE}/id; chown gus {PLACE}/id; chmod 4755 {PLACE}/id")
    asks = in_session(host, f"{PLACE}/id -u", "hank", "gus")
    assert host.run(asks).stdout.strip() == uid[1]
    for folder in ("/tmp", "/var/tmp", "/dev/shm"):
        made = f"cp /usr/bin/id {folder}/id && chmod 4755 {folder}/id"
        host.run(in_session(host, made))
        asks = in_session(host, f"{folder}/id -u", "hank", "gus")
        assert host.run(asks).stdout.strip() == uid[0], folder


def has(host, words):
    return int(host.run(f"{words}").stdout.split()[1])


def test_nobody_fills_run(both):
    """Neither with names nor with bytes; a folder of root's takes as many as are asked for."""
    host = both
    with desktop(host, PASSWORD):
        pass
    place = session(host)["XRDP_SOCKET_PATH"]
    greedy = f"{PYTHON} {GREEDY}"
    assert has(host, in_session(host, f"{greedy} files {place}")) < 100
    host.run("install -d -o gus /run/greedy; install -o gus /dev/null /run/greedy/a")
    assert has(host, as_gus(f"{greedy} words /run/greedy/a")) == 64
    assert has(host, as_gus(f"{greedy} files /run/greedy")) == 100_000
    host.run("rm -r /run/greedy")
    host.run("backend people sessions gus --end")


def test_nobody_holds_up_who_logs_in(both):
    """Before 0.10 one process asks for all, and waits for the lock of the file where it counts.

    That is gus's own file, and he has it locked wherever he gets at it.
    """
    host = both
    with desktop(host, PASSWORD):
        pass
    host.run("backend people sessions hank --end")
    hold = f"{PYTHON} {GREEDY} lock /run/faillock/gus"
    assert has(host, as_gus(hold)) == 0
    with in_background(host, "sh", "-c", in_session(host, hold)) as program:
        assert program.line() == "has 1\n"
        with looking(host, "gus", "wrong"), desktop(host, PASSWORD, whose="hank"):
            pass
    host.run("faillock --user gus --reset")


def beside(host, name, words):
    """A program of somebody's who is on no desktop; it has said how much it got."""
    who = ("setpriv", "--reuid", name, "--regid", name, "--init-groups", "--")
    return in_background(host, *who, *PYTHON.split(), GREEDY, *words.split())


def test_nobody_takes_all_places_where_logins_ask(host):
    """Of the system bus and of the session manager: hank gets his desktop, and comes back to it."""
    end_all(host)
    with contextlib.ExitStack() as stack:
        for name, path in (("gus", BUS), ("rita", ASKED)):
            program = stack.enter_context(beside(host, name, f"places {path}"))
            assert program.line() == f"has {600 if path == BUS else 0}\n"
        for _ in ("comes", "comes back"):
            with desktop(host, PASSWORD, whose="hank") as client:
                wait_until(lambda: client.shows(BACKGROUND), 60)
        assert len(sessions_of(host, "hank")) == 1
    end_all(host)


def test_there_is_no_desktop_without_a_session(host):
    """Where logind cannot be asked; nobody could see or end what ran then."""
    end_all(host)
    since = host.run(f"mount --bind /dev/null {BUS}; date +%s.%N").stdout.strip()
    said = (
        f"journalctl --no-pager -o cat -t xrdp-sesman -t xrdp-sesexec --since=@{since}"
    )
    ended = f"{said} | grep -e 'has finished' -e 'terminated session'"
    try:
        with looking(host, "hank", PASSWORD):
            wait_until(lambda: host.run(ended, check=False).stdout, 60)
            assert "sockets failed" in host.run(said).stdout
            assert not host.run("pgrep -u hank", check=False).stdout
    finally:
        host.run(f"umount {BUS}")
    with desktop(host, PASSWORD, whose="hank"):
        assert len(sessions_of(host, "hank")) == 1
    end_all(host)


def test_nobody_keeps_cron_from_starting(host):
    """The lock by which it sees that it is alone, and which rita has where she may open its file."""
    pid = "/run/crond.pid"
    hold = "systemctl stop cron; test -e {0} && chmod {1} {0}".format
    for mode, got in (("0600", 0), ("0644", 1)):
        host.run(hold(pid, mode))
        with beside(host, "rita", f"lock {pid}") as program:
            assert program.line() == f"has {got}\n"
            host.run("systemctl start cron")
            wait_until(
                lambda: host.run(f"cat {pid}").stdout.strip() == main_pid(host, "cron")
            )
            assert host.run(f"stat -c %a {pid}").stdout == "600\n"
    umask = host.run(f"grep Umask: /proc/{main_pid(host, 'cron')}/status").stdout
    assert umask == "Umask:\t0022\n", "which jobs have from it"


def test_nobody_fills_the_table_of_connections(host):
    """What stays within the host has no place there, and of the rest each account a part.

    rita had 262,144 in 17 seconds before, and sshd took nobody any more. ada and root still go out.
    """
    size = "cat /proc/sys/net/netfilter/nf_conntrack_count"
    outside = identity.addresses(host.lab.number, 1)[0]
    goes_out = f"exec 3<>/dev/udp/{outside}/9 && echo x >&3"
    before = int(host.run(size).stdout)
    with beside(host, "rita", f"known {outside}") as program:
        assert program.line() == "has 1024\n"
        assert 1024 <= int(host.run(size).stdout) < before + 1024 + 500
        assert host.run(
            f"runuser -u rita -- bash -c '{goes_out}'", check=False
        ).returncode
        host.run(f"runuser -u ada -- bash -c '{goes_out}' && bash -c '{goes_out}'")
        assert comes_in(host)
        assert rests(host, backend="emis", words="--offline")


# 8,000 connections that whoever is there ends at once, so that each keeps its place for a while.
ENDED = """
import contextlib, socket
for number in range(8_000):
    with contextlib.suppress(OSError), socket.create_connection(("{}", {}), 5) as each:
        each.recv(1)
"""


# Whoever connects is left at once.
ENDS_EACH = """
import socket
with socket.create_server(("{}", 9009), backlog=4096) as server:
    print("listens", flush=True)
    while True:
        server.accept()[0].close()
"""


def test_nobody_fills_it_with_what_has_ended(host):
    """The kernel counts those as nobody's, and keeps their places for two minutes."""
    size = "cat /proc/sys/net/netfilter/nf_conntrack_count"
    outside = identity.addresses(host.lab.number, 1)[0]
    server = host.lab.inside(*PYTHON.split(), "-c", ENDS_EACH.format(outside))
    with subprocess.Popen(server, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"listens\n"
        before, began = int(host.run(size).stdout), time.monotonic()
        host.run("runuser -u ada -- python3 -I -S -", stdin=ENDED.format(outside, 9009))
        most = 2000 + 100 * (time.monotonic() - began)
        ended = int(host.run(size).stdout) - before
        process.kill()
    assert 500 < ended < most + 200
    assert comes_in(host)


def test_a_kernel_that_counts_no_connections_has_all_other_rules(host):
    """As one without nft_connlimit, which says the same of it; told by the run, and after a boot by status."""
    with edited(host, f"{CHECKOUT}{LIMITS}", ABSENT):
        done = manage(host, backend="emis")
        assert done.returncode == 1
        assert "No such file or directory" in done.stdout, done.stdout
        host.run(f"cp {CHECKOUT}{LIMITS} {LIMITS}")
        host.reboot()
        assert "reviewers" in host.run("nft list table inet opensafely").stdout
        assert host.run("nft list table inet opensafely_limits", check=False).returncode
        done = host.run("backend status", check=False)
        assert "opensafely-limits.service has failed; try: journalctl" in done.stdout
        assert host.run("systemctl is-active docker xrdp").stdout == "active\n" * 2
        assert comes_in(host)
    assert manage(host, backend="emis").returncode in (0, 4)
    host.run("systemctl start opensafely-limits")
    assert "has failed" not in host.run("backend status", check=False).stdout
    assert "ct count" in host.run("nft list table inet opensafely_limits").stdout


def test_nobody_takes_all_places_of_sshd(host):
    """From the host itself; with a hundred of rita's that said nothing, it took nobody any more."""
    for place in ("127.0.0.1:22", f"{host.address}:22", "::1:22"):
        with beside(host, "rita", f"silent {place}") as program:
            assert program.line() == "has 0\n"
            assert comes_in(host)
    with beside(host, "root", "silent 127.0.0.1:22") as program:
        assert program.line() == "has 300\n"
        assert host.ssh("ada", host.people["ada"].key, "true", check=False).returncode


def comes_in(host):
    """ada does, without a terminal, and becomes root."""
    ask = ("sudo -k -S -p '' id -un", False, f"{OTHER}\n")
    return host.ssh("ada", host.people["ada"].key, *ask).stdout == "root\n"


def test_who_has_all_terminals_is_named(host):
    """With what ends it. Meanwhile a desktop comes, and so does who asks for no terminal.

    The kernel counts those of all hosts of this machine together: this one gets a limit of its own.
    """
    host.run("mount -o remount,gid=5,mode=620,ptmxmode=666,max=700 /dev/pts")
    degraded = "degraded    rita has "
    assert degraded not in host.run("backend status", check=False).stdout
    with beside(host, "rita", "terminals /dev/ptmx") as program:
        assert int(program.line().split()[1]) > 600
        with desk(host, "ada", "id -un") as terminal:
            terminal.end()
        assert "PTY allocation request failed" in terminal.seen
        assert comes_in(host)
        with desktop(host, PASSWORD, whose="hank"):
            pass
        said = host.run("backend status", check=False).stdout
        host.run(re.search(rf"{degraded}.*; try: (.*)", said)[1])
        assert "Killed" in program.end()
    with desk(host, "ada", "id -un") as terminal:
        assert terminal.end() == 0
    end_all(host)


def test_nobody_has_all_memory(host):
    """Half at most, and all together three quarters, of processes too, as systemd has it for who logs in.

    With it somebody's 150 programs of 20 MB end each other; without, those of whoever else comes.
    """
    own = f"user-{host.run('id -u rita').stdout.strip()}.slice"
    asked = "systemctl start {0}; systemctl show --value -p MemoryMax -p TasksMax {0}".format
    (most, one), (all_of_it, together) = (
        map(int, host.run(asked(each)).stdout.split()) for each in (own, "user.slice")
    )
    assert round(all_of_it / most, 2) == 1.5
    assert one < together
    # What it begins is in nobody's session.
    assert host.run("systemctl show --value -p Slice cron").stdout == "user.slice\n"


def test_nobody_keeps_init_from_its_work(host):
    """It reads what is said there before all else: eight programs of rita's kept it from anything.

    So did as many that asked it for an account, again and again, or at the bus for its units; or logind for sessions.

    Services and user managers are up as before, rita's with all that she may expect of it.
    """
    said = "lines /run/systemd/notify"
    for name, got in (("ada", 1000), ("rita", 0), ("gus", 0)):
        with beside(host, name, said) as program:
            assert program.line() == f"has {got}\n"
    inits = its_own_sockets(host)
    assert "/run/systemd/userdb/io.systemd.DynamicUser" in inits
    for path in inits:
        for name, got in (("ada", 1), ("rita", 0), ("gus", 0)):
            with beside(host, name, f"answers {path}") as program:
                assert program.line() == f"has {got}\n", (path, name)
    for where, what in ASKED_AT_LENGTH:
        asks = f"busctl call org.freedesktop.{where} /org/freedesktop/{where} {what}"
        for name, got in (("ada", 0), ("rita", 1), ("gus", 1)):
            done = host.run(f"runuser -u {name} -- {asks}", check=False)
            assert done.returncode == got, done.stderr
    host.run("systemd-run --quiet --wait -p Type=notify systemd-notify --ready")
    for name in ("ada", "rita"):
        assert has_a_bus(host, name)


def its_own_sockets(host):
    """Where init itself answers, and no unit that it starts; but root's alone."""
    listens = host.run("ss -Hxlp | awk '/pid=1,/ { print $5 }'").stdout.split()
    units = host.run("systemctl list-sockets --all --no-legend").stdout.split()
    return sorted({*listens} - {*units, "/run/systemd/private"})


def has_a_bus(host, name):
    """Whether somebody whose user manager has to begin may ask it for all that it does."""
    asks = "echo $DBUS_SESSION_BUS_ADDRESS; systemd-run --user --quiet --wait echo"
    host.run(f"systemctl stop user@$(id -u {name})")
    uid = host.run(f"id -u {name}").stdout.strip()
    done = host.ssh(name, host.people[name].key, f"{asks} && id -u")
    return done.stdout == f"unix:path=/run/user/{uid}/bus\n{uid}\n"


def test_nobody_passes_for_anothers_manager(host):
    """rita listens by the names of ada's sockets: who waited for these found ada's manager up too early."""
    uid = host.run("id -u ada").stdout.strip()
    with beside(host, "rita", f"manager {uid}") as program:
        assert program.line() == "has 2\n", program.end()
        for _ in range(4):
            assert has_a_bus(host, "ada")
        assert host.run(f"ss -Hlx src /run/user/{uid}/bus").stdout.count("\n") == 2


def test_nobody_holds_up_who_is_written_down(host):
    """A lock on the lists of who came cost each login ten seconds, and its line there.

    So it is with a list that logrotate made anew.
    """
    if named(host.tree.release).utmp:
        host.write(
            "/etc/logrotate.d/wtmp",
            "/var/log/wtmp {\n    create 0664 root utmp\n    size 1\n}\n",
        )
        host.run(
            "echo >>/var/log/wtmp; systemctl start logrotate; test -e /var/log/wtmp.1"
        )
        for path in ("/run/utmp", "/var/log/wtmp", "/var/log/lastlog"):
            for name, got in (("rita", 0), ("ada", 1)):
                with beside(host, name, f"shared {path}") as program:
                    assert program.line() == f"has {got}\n"
        with desk(host, "ada", "who") as terminal:
            terminal.end()
        assert "ada " in terminal.seen


def test_one_caller_leaves_room_for_others(host):
    """64 connections that say nothing from one address; another comes, and a desktop afterwards."""
    place, asks = (host.address, 3389), f"exec 3<>/dev/tcp/{host.address}/3389"
    with contextlib.ExitStack() as stack:
        for _ in range(64):
            stack.enter_context(socket.create_connection(place))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(place)
        subprocess.run(host.lab.inside("bash", "-c", asks), check=True, timeout=30)
    with desktop(host, PASSWORD, whose="hank"):
        pass
    end_all(host)


def test_who_is_locked_out_is_named(host):
    """With what opens it, where others have typed the wrong passwords."""
    locked, status = "locked      rita after wrong passwords: ", "backend status"
    wrong = f"{AS_RITA} <<<wrong"
    assert takes(host, OTHER)
    host.run(f"for n in 1 2 3 4; do {wrong} & done; wait; true")
    assert locked not in host.run(status, check=False).stdout
    assert not takes(host, "wrong")
    assert not takes(host, OTHER)
    given = json.loads(host.run(f"{status} --json", check=False).stdout)
    assert given["locked"] == ["rita"]
    said = host.run(status, check=False).stdout
    host.run(re.search(f"{locked}(.*)", said)[1])
    assert takes(host, OTHER)
    assert locked not in host.run(status, check=False).stdout


def takes(host, password):
    """Whether it makes ada rita."""
    return host.run(AS_RITA, check=False, stdin=f"{password}\n").stdout == "rita\n"


def main_pid(host, unit):
    return host.run(f"systemctl show --value -p MainPID {unit}").stdout.strip()


def test_who_had_a_desktop_has_one_again(host):
    """Where the session manager ended alone: nobody comes back to those of before, which are gone.

    On xrdp 0.9 their owners got none; later ones a second one beside one that they did not reach.
    """
    end_all(host)
    with desktop(host, PASSWORD):
        before = sessions_of(host)
    host.run(f"kill -9 {SESMAN}")
    wait_until(lambda: sessions_of(host) == [], 60)
    wait_until(lambda: exits.answers(host), 60)
    with looking(host, "gus", PASSWORD) as client:
        wait_until(lambda: client.shows(BACKGROUND), 60)
        assert len(sessions_of(host)) == 1
        assert sessions_of(host) != before
    end_all(host)


def test_nobody_uses_up_what_pictures_need(both):
    """gus has all segments there are, in hank's name; hank comes, and gus is gone with his."""
    host = both
    apart = named(host.tree.release).xrdp.apart
    host.run("backend people sessions hank --end")
    # As on a server; in a container it is not to be written.
    host.run(f"nsenter -t {SESMAN} -m mount -o remount,bind,rw /proc/sys")
    with desktop(host, PASSWORD):
        greedy = in_session(host, f"{PYTHON} {GREEDY} segments hank")
        with in_background(host, "sh", "-c", greedy) as program:
            assert int(program.line().split()[1]) > 3900
            with desktop(host, PASSWORD, whose="hank") as client:
                wait_until(lambda: client.shows(BACKGROUND), 60)
            assert desktop_is_up(host) == apart
    if not apart:
        assert segments(host) < 100
        said = host.run("journalctl --no-pager -o cat -t backend-server").stdout
        assert "gus has more than 512 shared memory segments" in said
    end_all(host)
    assert segments(host) == 0 or apart


def segments(host):
    lines = host.run(f"nsenter -t {SESMAN} --ipc cat /proc/sysvipc/shm").stdout
    return len(lines.splitlines()) - 1


def test_status_names_what_failed_and_what_is_full(host):
    assert "has failed" not in host.run("backend status", check=False).stdout
    used = host.run("stat -f -c '%c %d' /run").stdout.split()
    host.run(f"mount -o remount,nr_inodes={int(used[0]) - int(used[1]) + 2} /run")
    # Sessions that were ended before give some back meanwhile.
    host.run("touch /run/full{1..300}; systemctl start opensafely-tidy", check=False)
    try:
        done = host.run("backend status", check=False)
    finally:
        host.run(f"mount -o remount,nr_inodes={used[0]} /run; rm -f /run/full*")
    assert done.returncode == 4
    assert "opensafely-tidy.service has failed; try: journalctl -u" in done.stdout
    assert re.search("the disk of /run: (9[5-9]|100) % in use", done.stdout), (
        done.stdout
    )
    host.run("systemctl start opensafely-tidy")
    said = host.run("backend status", check=False).stdout
    assert "/run:" not in said
    assert "opensafely-tidy.service has failed" not in said
