"""Who takes all that there is of a server leaves room for others, on a kernel that shares it out.

Containers of this machine have the older layout of control groups, or none that counts: a guest has cgroup2. It is
managed as tpp, which has developers only: grace, who takes all, is nobody else to the kernel.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from tests.hosts.programs import wait_until


pytestmark = [pytest.mark.share("doors"), pytest.mark.long]

SCRIPT = Path(__file__).with_name("hog.py")
PLACE = "/usr/local/lib/tests/hog.py"
PYTHON = "/usr/bin/python3 -I -S"
LOG = "/home/grace/hog.log"
DAEMONS = "ssh docker containerd dbus systemd-logind"
# How much of one processor of two somebody gets who only counts, as they see it themselves.
COUNTS = (
    "import time; end = time.monotonic() + 8\n"
    "while time.monotonic() < end: pass\n"
    "print(time.process_time() / 8)"
)
WATCHES = (
    "import ctypes; libc = ctypes.CDLL(None)\n"
    "made = libc.inotify_init1(0); files = [open('/etc/passwd') for _ in range(500)]\n"
    "print(made >= 0 and libc.inotify_add_watch(made, b'/tmp', 0xFFF))"
)


@pytest.fixture(scope="module")
def host(guest):
    guest.write(PLACE, SCRIPT.read_text())
    guest.run("chmod 755 /usr/local/lib/tests")
    return guest


def group(host):
    uid = host.run("id -u grace").stdout.strip()
    return f"/sys/fs/cgroup/user.slice/user-{uid}.slice"


@contextlib.contextmanager
def hog(host, words):
    """A program of grace's, begun over ssh; all of hers ends with this."""
    line = f"setsid {PYTHON} {PLACE} {words} >{LOG} 2>&1 </dev/null &"
    host.ssh("grace", host.people["grace"].key, line)
    hers = group(host)
    try:
        yield hers
    finally:
        host.run(f"echo 1 > {hers}/cgroup.kill; rm -f /dev/shm/held", check=False)
        # Thousands end one by one where the processor is emulated.
        wait_until(lambda: host.run("pgrep -u grace", check=False).returncode, 400)


def counted(host, file, word):
    """Of what the kernel keeps count of for a control group."""
    found = host.run(f"cat {file}", check=False).stdout.split()
    return int(found[found.index(word) + 1]) if word in found else 0


def said(host):
    wait_until(lambda: "has " in host.run(f"cat {LOG}").stdout, 300)
    return int(host.run(f"cat {LOG}").stdout.split()[1])


def pids(host):
    return host.run(f"systemctl show --value -p MainPID {DAEMONS}").stdout.split()


def goes_on(host):
    """A developer logs in, and docker answers."""
    done = host.ssh("ada", host.people["ada"].key, "id -un", check=False)
    assert done.stdout == "ada\n", done.stderr
    host.run("timeout 60 docker network ls")
    return True


@pytest.mark.parametrize("words", ["one", "many", "held /dev/shm"])
def test_all_memory(host, words):
    """The kernel ends what is hers, and nothing else."""
    before = pids(host)
    with hog(host, words) as hers:
        wait_until(
            lambda: (
                counted(host, f"{hers}/memory.events", "oom_kill")
                or not host.run(f"grep 'has ' {LOG}", check=False).returncode
            ),
            300,
        )
        for _ in range(3):
            assert goes_on(host)
    theirs = f"oom_memcg={hers.partition('cgroup')[2]}"
    ended = kernel_ended(host)
    assert all(theirs in line for line in ended), ended
    assert pids(host) == before


def test_all_memory_by_cron(host):
    """What it begins is in no session, and has a part of what is people's: cron goes on."""
    before = host.run("systemctl show --value -p MainPID cron").stdout
    line = f"* * * * * {PYTHON} {PLACE} many >/dev/null 2>&1\n"
    host.run("runuser -u grace -- crontab -", stdin=line)
    try:
        own = "/user.slice/cron.service"
        events = f"/sys/fs/cgroup{own}/memory.events"
        wait_until(lambda: counted(host, events, "oom_kill"), 300)
        assert goes_on(host)
    finally:
        host.run("crontab -u grace -r; pkill -KILL -u grace", check=False)
    ended = kernel_ended(host)
    assert ended
    assert all(f"oom_memcg={own}" in line for line in ended), ended
    assert host.run("systemctl show --value -p MainPID cron").stdout == before


def kernel_ended(host):
    """A line for each time that it had to, since the last time somebody asked."""
    said = "journalctl -k -o cat --cursor-file=/root/seen | grep oom-kill:"
    return host.run(said, check=False).stdout.splitlines()


def test_all_processes(host):
    """A fork bomb: it has a third of them."""
    before = pids(host)
    with hog(host, "bomb") as hers:
        wait_until(
            lambda: (
                counted(host, f"{hers}/pids.events", "max")
                or counted(host, f"{hers}/memory.events", "oom_kill")
            ),
            300,
        )
        assert goes_on(host)
    assert pids(host) == before


def test_all_processors(host):
    """Fifty that count leave a developer, and a service, more than the fiftieth part."""
    with hog(host, "spin"):
        wait_until(
            lambda: int(host.run("pgrep -c -u grace", check=False).stdout) > 30, 300
        )
        service = host.run(f'systemd-run --quiet --wait --pipe python3 -c "{COUNTS}"')
        ada = host.ssh("ada", host.people["ada"].key, f'python3 -c "{COUNTS}"')
        print(service.stdout, ada.stdout)
        assert float(service.stdout) > 0.3
        assert float(ada.stdout) > 0.3


@pytest.mark.parametrize("words", ["opened", "watches", "told"])
def test_all_places(host, words):
    """Open files, what is watched for changes, and the memory of connections."""
    before = pids(host)
    with hog(host, words):
        assert said(host) > 1000
        assert goes_on(host)
        for who in ("ada", "root"):
            line = f'runuser -u {who} -- python3 -c "{WATCHES}"'
            assert host.run(line).stdout == "1\n"
        carried = host.ssh("ada", host.people["ada"].key, "head -c 3M /dev/zero")
        assert len(carried.stdout) == 3 << 20
    assert pids(host) == before
