"""apt's locks: whoever holds one is named, and waited for."""

import subprocess
import sys
import time

import pytest

from backend_server.host import apt
from backend_server.host.writer import Host
from backend_server.text.errors import CommandFailed


HOLD = """\
import fcntl, sys, time
with open(sys.argv[1], "w") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def hold(root, path, seconds):
    at = root / path.lstrip("/")
    at.parent.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-c", HOLD, at, str(seconds)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_no_dpkg_has_run_here(place):
    assert apt.lock_holder(Host(place)) is None


@pytest.mark.parametrize("path", apt.LOCKS)
def test_the_holder_is_named(place, path):
    process = hold(place, path, 60)
    holder = apt.lock_holder(Host(place))
    assert holder
    assert (holder.path, holder.pid) == (path, process.pid)
    process.kill()
    process.wait()
    assert apt.lock_holder(Host(place)) is None


def test_it_is_waited_for_and_that_is_said_once(place):
    process = hold(place, apt.LOCKS[0], 1.2)
    host, said, started = Host(place), [], time.monotonic()
    host.say = said.append
    apt.wait_for_locks(host, wait_s=30)
    assert time.monotonic() - started > 0.9
    assert len(said) == 1
    assert said[0].startswith("waiting up to 30 s for ")
    assert f"(pid {process.pid}), which holds {apt.LOCKS[0]}" in said[0]
    process.wait()


def test_not_for_ever(place):
    process = hold(place, apt.LOCKS[0], 60)
    with pytest.raises(CommandFailed, match=f"gave up .*pid {process.pid}") as failed:
        apt.wait_for_locks(Host(place), wait_s=0.2)
    assert str(process.pid) in failed.value.hint
    process.kill()
    process.wait()
