"""Hosts on which people are at work, and what of theirs goes on there."""

from __future__ import annotations

from sandbox.fixtures import quiet_timer
from tests.hosts.managing import CHECKOUT, manage


# Whose processes: by any of their four uids, or by who logged in to start them.
PROCESSES = r"""
import glob, pwd, re, sys
uid = str(pwd.getpwnam(sys.argv[1]).pw_uid)
for process in glob.glob("/proc/[0-9]*"):
    try:
        uids = re.search("Uid:(.*)", open(process + "/status").read()).group(1).split()
        if uid in (*uids, open(process + "/loginuid").read()):
            print(open(process + "/cmdline").read().replace("\0", " "))
    except (FileNotFoundError, ProcessLookupError):
        pass
"""


def with_at_and_tmux(warm_host, backend):
    host = warm_host(backend, shape=[quiet_timer])
    host.run("apt-get -qq install --no-install-recommends at tmux 2>&1")
    return host


def run(host, words="--yes --offline", backend="test"):
    done = manage(host, words, backend=backend)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def give_key(host, name):
    """Whoever the sandbox has no key for has ada's."""
    host.run(f"cp -n {CHECKOUT}/keys/ada {CHECKOUT}/keys/{name}")


def key_of(host, name):
    return host.people[name if name in host.people else "ada"].key


def processes_of(host, name):
    return host.run(f"python3 -I -S - {name}", stdin=PROCESSES).stdout.splitlines()


def shell(host, script, *words):
    """As root, with $1 …, however it ends."""
    line = f'bash -c "$SCRIPT" - {" ".join(map(str, words))}'
    return host.run(line, check=False, env={"SCRIPT": script})
