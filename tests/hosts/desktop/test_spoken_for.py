"""Nobody speaks, listens or logs for who has no sudo: programs that act as root, the bus, the journal, xrdp's ports.

Each is tried where it is open too, so that a test which could not see it would fail.
"""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path

import pytest

from sandbox.fixtures import quiet_timer, ubuntu_user
from tests.hosts.desktop import exits
from tests.hosts.desktop.desktops import CANARY
from tests.hosts.desktop.exits import PLACE, PYTHON, answers, watched
from tests.hosts.desktop.reachable import PRIVILEGED
from tests.hosts.desktop.remote import let_in
from tests.hosts.managing import CHECKOUT, edited, manage, rests
from tests.hosts.programs import in_background, wait_until
from tests.hosts.releases import NEIGHBOURS


pytestmark = pytest.mark.share("doors")

WITHOUT_SUDO = ("gus", "rita")
SUDO, RULES = "/usr/bin/sudo", "/etc/sudoers.d/zz-opensafely"
AUTH_LOG = "/var/log/opensafely/auth.log"
SMALL = "/run/systemd/journald.conf.d/zz-small.conf"
ANYBODYS = "sysctl -qw net.ipv4.ip_unprivileged_port_start=1024"
GRAB, FLOOD = f"{PLACE}/grab_port.py", f"{PLACE}/flood.py"


def prepared(host):
    exits.bring(host)
    for path in (GRAB, FLOOD):
        name = Path(path).name
        host.write(path, Path(__file__).with_name(name).read_text())
    return host


@pytest.fixture(scope="module")
def host(shared_warm_host):
    return prepared(shared_warm_host("emis", shape=[quiet_timer, ubuntu_user]))


@pytest.fixture(scope="module", params=NEIGHBOURS)
def neighbour(request, shared_warm_host):
    return prepared(shared_warm_host("test", request.param, shape=[quiet_timer]))


def as_user(name, line):
    """With the groups of a new login, and none of root's rights at the moment it begins."""
    return f"runuser -u {name} -- sh -c {shlex.quote(line)}"


def heals(host, backend="emis", words="--offline"):
    done = manage(host, words, backend=backend)
    assert done.returncode in (0, 4), done.stdout + done.stderr
    return True


# ---- programs that act as root

ASK_BY_SUDO = f"sudo -n -h {CANARY}.example.org -l >/dev/null 2>&1; true"


def asks_by_sudo(host, name):
    with watched(host) as seen:
        host.run(as_user(name, ASK_BY_SUDO))
    return bool(seen.questions)


def test_sudo_resolves_nothing_for_who_has_no_rule(host):
    """As Debian has it, then by our rules alone, then as a run leaves it."""
    host.run(f"cp {RULES} /root/rules; chown root:root {SUDO}; chmod 4755 {SUDO}")
    host.run(f"sed -i 's/!fqdn, //' {RULES}")
    assert asks_by_sudo(host, "gus"), "it asks before it looks at rules"
    host.run(f"cp /root/rules {RULES}")
    assert not asks_by_sudo(host, "gus")
    host.run(f"sed -i 's/!fqdn, //' {RULES}")
    assert heals(host)
    host.run(f"sed -i 's/!fqdn, //' {RULES}")
    assert not any(asks_by_sudo(host, name) for name in WITHOUT_SUDO)
    assert heals(host)
    for name in WITHOUT_SUDO:
        done = host.run(as_user(name, "sudo -n -l"), check=False)
        assert "Permission denied" in done.stderr


def test_who_has_rules_still_uses_sudo(host):
    """A developer by ours, the provider's account and an agent of theirs by their own."""
    assert (
        "emis"
        in host.run(
            as_user(
                "ada", "sudo -n backend service list; hostname; sudo -n backend status"
            ),
            check=False,
        ).stdout
    )
    assert host.run(as_user("ubuntu", "sudo -n id -u")).stdout == "0\n"
    host.run("useradd --system agent")
    host.write(
        "/etc/sudoers.d/agent", "agent ALL=(root) NOPASSWD: /usr/bin/id\n", 0o440
    )
    assert host.run(as_user("agent", "sudo -n id -u")).stdout == "0\n"
    host.run("rm /etc/sudoers.d/agent; userdel agent")


def test_an_upgrade_opens_nothing(host):
    """Nor a program that a package brings later, once a run has gone by."""
    host.run("apt-get -qq install --reinstall sudo mount 2>&1")
    for program in ("sudo -n -l", "su -c id", "mount -l", "newgrp"):
        done = host.run(as_user("gus", program), check=False)
        assert "Permission denied" in done.stderr, program
    new = "/usr/libexec/later"
    host.run(f"cp /bin/true {new}; chmod 4755 {new}")
    assert host.run(as_user("gus", new)).returncode == 0
    assert heals(host)
    assert host.run(as_user("gus", new), check=False).returncode != 0
    assert host.run(as_user("ubuntu", new)).returncode == 0
    host.run(f"rm {new}; dpkg-statoverride --remove {new}")


def startable(host):
    """Set-id programs, and those with capabilities, that each of them can start."""
    find = "find / -xdev -type f -perm /6000 -print 2>/dev/null"
    there = host.run(f"{find}; getcap -r / 2>/dev/null | cut -d' ' -f1").stdout.split()
    each = f"for path in {' '.join(there)}; do test -x $path && echo $path; done; true"
    return {
        name: set(host.run(as_user(name, each)).stdout.split()) for name in WITHOUT_SUDO
    }


def listed(program):
    """As the list has it: a Debian 11 that was not merged has programs below / too."""
    return program if program.startswith("/usr") else f"/usr{program}"


def tries(programs):
    """Each of them, asked to carry a word out."""
    words = {"name": f"{CANARY}.example.org", "address": exits.INTERNET}
    for program in programs:
        _, arguments = PRIVILEGED[listed(program)]
        for line in arguments:
            yield f"timeout 5 {program} {line.format(word=CANARY, **words)}"


START_EACH = """\
for name in $(busctl list --no-legend --activatable | awk '{print $1}'); do
    busctl --timeout=5 call org.freedesktop.DBus / org.freedesktop.DBus StartServiceByName su $name 0
done
"""


def test_programs_with_more_rights_carry_nothing(host):
    found = startable(host)
    assert "/usr/bin/passwd" in found["gus"], "the walk finds what is there"
    everything = set.union(*found.values())
    assert set(map(listed, everything)) - PRIVILEGED.keys() == set()
    lines = "".join(f"{{ {line}; }} & " for line in tries(found["gus"]))
    assert CANARY in lines
    with watched(host) as seen:
        host.run(
            as_user(
                "gus",
                f"exec >/dev/null 2>&1 </dev/null; {lines} {START_EACH} wait; true",
            )
        )
    assert seen.nothing(), seen


def test_on_other_releases(neighbour):
    """The same walk, the same refusals, and a run that rests."""
    host = neighbour
    for name, found in startable(host).items():
        assert set(map(listed, found)) - PRIVILEGED.keys() == set()
        assert (
            "Permission denied"
            in host.run(as_user(name, "sudo -n -l"), check=False).stderr
        )
        assert "Permission denied" in flood(host, name, 1)
    assert host.run(as_user("ada", "sudo -n id -u")).stdout == "0\n"
    assert kept(host, "COMMAND=/usr/bin/id -u")
    assert rests(host, words="--offline")


# ---- the system bus

BUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus")
EMIT = f"busctl --destination={{}} emit /canary org.example.Canary Word s {CANARY}-{{}}"


def test_the_bus_carries_no_word_of_theirs(host):
    """To whoever listens, or to one alone; what root sends after it comes."""
    listen = ("dbus-monitor", "--system", "interface='org.example.Canary'")
    who = ("setpriv", "--reuid=rita", "--regid=rita", "--init-groups", "--")
    with in_background(host, *who, *listen) as rita:
        name = lines_until(rita, 'string ":')[-1].split('"')[1]
        for user in ("gus", "ubuntu"):
            for each in ("", name):
                line = EMIT.format(each, user).replace("--destination= ", "")
                host.run(as_user(user, line), check=False)
        host.run(EMIT.format(name, "root"))
        said = "".join(lines_until(rita, f"{CANARY}-root"))
    assert said.count(f"{CANARY}-ubuntu") == 2
    assert f"{CANARY}-gus" not in said


def lines_until(program, word):
    found = [program.line()]
    while word not in found[-1]:
        assert found[-1], f"no {word} in {found}"
        found.append(program.line())
    return found


def test_the_bus_keeps_no_word_of_theirs_for_others(host):
    """Neither what they wait for, which its statistics tell, nor what they inhibit."""
    logind = ("org.freedesktop.login1", "/org/freedesktop/login1")
    asks = {
        "statistics": (*BUS, f"{BUS[0]}.Debug.Stats", "GetAllMatchRules"),
        "inhibitors": (*logind, f"{logind[0]}.Manager", "ListInhibitors"),
        "sessions": (*logind, "org.freedesktop.DBus.Properties", "GetAll", "s", "''"),
    }
    found = {
        user: {
            what
            for what, words in asks.items()
            if not host.run(
                as_user(user, f"busctl call {' '.join(words)}"), check=False
            ).returncode
        }
        for user in ("root", "ubuntu", "gus")
    }
    assert found["root"] == {*asks}
    assert found["ubuntu"] == {"inhibitors", "sessions"}
    assert found["gus"] == {"sessions"}


POLICY = "/etc/dbus-1/system.d/opensafely.conf"


def test_the_bus_knows_who_has_become_a_reviewer(neighbour):
    """Of somebody who has asked it before, too; these hosts have no desktop, and so no rules."""
    host = neighbour
    host.write(POLICY, host.read(f"{CHECKOUT}{POLICY}"))
    ask = as_user(
        "rita",
        "busctl call org.freedesktop.DBus / org.freedesktop.DBus.Introspectable Introspect",
    )
    host.run(f"systemctl reload dbus; {ask}")
    roster = f"{CHECKOUT}/test/reviewers"
    with edited(host, roster, "rita\n"):
        assert heals(host, "test", "--yes --offline")
        assert "Access denied" in host.run(ask, check=False).stderr
        assert rests(host, words="--offline")
    host.run(f"rm {POLICY}")
    assert heals(host, "test", "--yes --offline")
    host.run(ask)


# ---- the journal


def flood(host, name, megabytes):
    done = host.run(as_user(name, f"{PYTHON} {FLOOD} {megabytes} 2>&1"), check=False)
    return done.stdout


def kept(host, word):
    """Whether journald's next file takes it to ours."""
    host.run("journalctl --rotate")
    wait_until(lambda: word in host.run(f"cat {AUTH_LOG}", check=False).stdout)
    return True


def in_journal(host, word):
    return word in host.run("journalctl --no-pager --quiet --output=cat").stdout


def test_a_flood_takes_nothing_that_root_logged(host):
    """Whoever has no sudo cannot begin one; what others flood away is kept apart."""
    ada = host.people["ada"]
    host.ssh("ada", ada.key, "sudo -n backend service list")
    assert heals(host)  # leaves a line of ours where there was something to do
    host.run(f"mkdir -p {Path(SMALL).parent}")
    host.run(f"cat >{SMALL}", stdin="[Journal]\nSystemMaxUse=64M\nRateLimitBurst=0\n")
    host.run("systemctl restart systemd-journald")
    said = (
        "Accepted publickey for ada",
        "COMMAND=/usr/local/sbin/backend service list",
    )
    for name in WITHOUT_SUDO:
        assert "Permission denied" in flood(host, name, 300)
    assert all(in_journal(host, word) for word in said)
    assert "sent" in flood(host, "ubuntu", 16)
    assert all(kept(host, word) for word in said)
    assert "sent" in flood(host, "ubuntu", 160)
    wait_until(lambda: not in_journal(host, said[0]))
    log = host.run(f"cat {AUTH_LOG}").stdout
    assert all(word in log for word in said)
    assert host.run(f"stat -c '%a %U' {AUTH_LOG}").stdout == "600 root\n"
    host.run(f"rm {SMALL}; systemctl restart systemd-journald")
    assert "Permission denied" in flood(host, "gus", 1)


def test_no_line_is_kept_twice_or_lost_by_a_rotation(host):
    host.run(f"logger -t sshd {CANARY}-before")
    assert kept(host, f"{CANARY}-before")
    host.run("logrotate -f /etc/logrotate.d/opensafely")
    host.run(f"logger -t sshd {CANARY}-after; logger -t others {CANARY}-theirs")
    assert kept(host, f"{CANARY}-after")
    both = host.run(f"cat {AUTH_LOG}.1 {AUTH_LOG}").stdout
    assert [
        both.count(f"{CANARY}-{word}") for word in ("before", "after", "theirs")
    ] == [1, 1, 0]


def test_a_session_has_nothing_of_the_journals(host):
    """Neither a user manager's output nor that of what it starts, a crontab's or sesman's."""
    host.run("loginctl enable-linger gus")
    uid = host.run("id -u gus").stdout.strip()
    wait_until(
        lambda: (
            host.run(f"test -S /run/user/{uid}/systemd/private", check=False).returncode
            == 0
        )
    )
    run = f"XDG_RUNTIME_DIR=/run/user/{uid} systemd-run --user --wait --quiet sh -c 'echo {CANARY}-unit; echo {CANARY}-unit >&2'"
    host.run(
        as_user("gus", f"{run}; systemd-cat echo {CANARY}-cat; logger {CANARY}-logger"),
        check=False,
    )
    host.run(as_user("ubuntu", f"logger {CANARY}-ubuntu"))
    journal = (
        "journalctl --no-pager --output=cat --sync; journalctl --no-pager --output=cat"
    )
    said = host.run(journal, check=False).stdout
    assert f"{CANARY}-ubuntu" in said
    for word in ("unit", "cat", "logger"):
        assert f"{CANARY}-{word}" not in said.replace("COMMAND=", "")
    sesman = host.run("systemctl show --value -p MainPID xrdp-sesman").stdout.strip()
    for number in (1, 2):
        assert host.run(f"readlink /proc/{sesman}/fd/{number}").stdout == "/dev/null\n"
    host.run("loginctl disable-linger gus")


# ---- xrdp's ports


PORTS = (3389, 335)


@contextlib.contextmanager
def grabbing(host, *names):
    """Each tries from now on, until they have one of the ports; they say which."""
    with contextlib.ExitStack() as stack:
        grabs = [stack.enter_context(grab(host, name)) for name in names]
        for each in grabs:
            assert each.line() == "trying\n"
        yield grabs


def grab(host, name):
    """What is killed is the program itself."""
    become = ("setpriv", "--reuid", name, "--regid", name, "--init-groups", "--")
    words = " ".join(map(str, PORTS))
    return in_background(host, *become, *PYTHON.split(), GRAB, words)


def restart(host):
    """It lets go of its port for a while."""
    host.run("systemctl stop xrdp xrdp-sesman; sleep 1; systemctl start xrdp")


def mends(host):
    """The command that brings the desktop back, as `status` has it; "" while there is one."""
    said = host.run("backend status", check=False).stdout
    assert "last run " in said
    found = re.search("no remote desktop: .*; try: (.*)", said)
    return found[1] if found else ""


def is_back(host):
    """xrdp answers, and the session manager says no to a wrong password."""
    wait_until(lambda: answers(host), 60)
    assert not let_in(host, "gus", "wrong")
    assert not mends(host)
    return True


def test_nobody_else_has_xrdps_ports(host):
    """Of either family, while it starts anew; where they are anybody's, somebody has."""
    with grabbing(host, *WITHOUT_SUDO) as grabs:
        restart(host)
        wait_until(lambda: answers(host), 60)
        for each in grabs:
            each.kill()
            assert "has" not in each.end()
    host.run(f"{ANYBODYS}; systemctl stop xrdp")
    with grabbing(host, "gus") as (each,):
        assert each.line() == "has 3389\n"
        assert host.run("systemctl start xrdp", check=False).returncode != 0
        assert f"kill -9 {each.pid};" in mends(host)
        host.run(mends(host))
        assert is_back(host)
    host.run(ANYBODYS)
    assert heals(host)
    assert host.run("sysctl -n net.ipv4.ip_unprivileged_port_start").stdout == "3390\n"


def test_xrdp_alone_asks_the_session_manager(host):
    """Or a few of anybody's connections would leave it no place there."""
    assert refused(host, 335) == {"gus", "rita", "ada", "ubuntu", "nobody"}


def test_people_ask_xrdp_from_elsewhere(host):
    """Here they could lock reviewers out, and hold connections; the provider's may forward."""
    assert refused(host, 3389) == {"gus", "rita", "ada", "nobody"}


def refused(host, port):
    """Who cannot connect from the host itself, and is told so."""
    ask = f"timeout 5 bash -c '</dev/tcp/127.0.0.1/{port}' 2>&1"
    names = ("root", "xrdp", "gus", "rita", "ada", "ubuntu", "nobody")
    said = {n: host.run(as_user(n, ask), check=False).stdout for n in names}
    assert all("refused" in each or not each for each in said.values()), said
    return {name for name in names if said[name]}


def test_xrdp_comes_back_by_itself(host):
    """However often it ends. What somebody stops by hand is told, with what mends it."""
    units = ("xrdp", "xrdp-sesman")
    for unit in units:
        limit = "systemctl show --value -p StartLimitIntervalUSec"
        assert host.run(f"{limit} {unit}").stdout == "0\n"
    before = {unit: process(host, unit) for unit in units}
    host.run(f"systemctl kill -s KILL {' '.join(units)}")
    for unit, old in before.items():
        another(host, unit, old)
    assert is_back(host)
    host.run("systemctl stop opensafely-sesman.socket; systemctl start xrdp-sesman")
    host.run(mends(host))
    wait_until(lambda: answers(host), 60)
    assert not mends(host)


def another(host, unit, old):
    wait_until(lambda: process(host, unit) not in {old, "0"}, 60)


def process(host, unit):
    return host.run(f"systemctl show --value -p MainPID {unit}").stdout.strip()


def test_it_holds_from_the_boot_on(host):
    log = "/home/gus/boot.log"
    words = " ".join(map(str, PORTS))
    lines = f"{PYTHON} {FLOOD} 1; exec {PYTHON} {GRAB} '{words}'"
    host.run("crontab -u gus -", stdin=f"@reboot exec >>{log} 2>&1; {lines}\n")
    host.reboot()
    wait_until(lambda: "trying" in host.run(f"cat {log}", check=False).stdout, 60)
    assert is_back(host)
    said = host.run(f"crontab -u gus -r; pkill -u gus -f grab_por[t]; cat {log}").stdout
    assert "has" not in said
    assert "Permission denied" in said
