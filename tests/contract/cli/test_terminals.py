"""What works is never held up by whoever reads what it says, and they miss nothing of it."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import backend_server
from tests.hosts.programs import wait_until


CHECKOUT = Path(backend_server.__file__).parents[1]
LINES = 5000  # far more than a terminal or a pipe holds
WORK = f"""
import sys
from pathlib import Path
from backend_server.cli import streams
from backend_server.cli.ending import all_told, outlive_terminal
from backend_server.run.place import Asked
streams.lay()
outlive_terminal(Asked("test", Path("/")))
for number in range({LINES}):
    print(f"line {{number:060d}}", file=(sys.stdout, sys.stderr)[number % 2])
Path(sys.argv[1]).touch()
sys.exit(all_told(3))
"""
EXIT = 3
ALL = "".join(f"line {number:060d}\n" for number in range(LINES))
STOP, GO_ON = b"\x13", b"\x11"  # Ctrl-S and Ctrl-Q


@pytest.fixture
def done(tmp_path):
    """Is there once the work is."""
    return tmp_path / "done"


@contextlib.contextmanager
def works(done, to, errors=None):
    """Who waits for the work, which has these streams."""
    argv = (sys.executable, "-c", WORK, done)
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    process = subprocess.Popen(
        argv, stdin=to, stdout=to, stderr=errors or to, env=env, start_new_session=True
    )
    try:
        yield process
        process.wait(timeout=60)
    finally:
        process.kill()
        process.wait()


def rest(fd):
    """All that is to be read there."""
    seen = b""
    try:
        while data := os.read(fd, 1 << 16):
            seen += data
    except OSError:  # a terminal that nobody has open any more
        pass
    return seen.decode().replace("\r\n", "\n")


def test_a_terminal_that_is_stopped(done):
    ours, theirs = pty.openpty()
    os.write(ours, STOP)
    with works(done, theirs) as process:
        os.close(theirs)
        wait_until(done.exists)
        assert process.poll() is None
        os.write(ours, GO_ON)
        assert rest(ours) == ALL
    assert process.returncode == EXIT


def test_a_terminal_that_nobody_reads(done):
    ours, theirs = pty.openpty()
    os.set_blocking(theirs, False)
    filled = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            filled += os.write(theirs, b"x" * 1000)
    os.set_blocking(theirs, True)
    with works(done, theirs) as process:
        os.close(theirs)
        wait_until(done.exists)
        assert rest(ours)[filled:] == ALL
    assert process.returncode == EXIT


def test_whoever_waits_is_stopped(done):
    """As by Ctrl-Z."""
    ours, theirs = os.pipe()
    with works(done, theirs) as process:
        os.close(theirs)
        assert os.read(ours, 1)
        process.send_signal(signal.SIGSTOP)
        wait_until(done.exists)
        process.send_signal(signal.SIGCONT)
        assert rest(ours) == ALL[1:]
    os.close(ours)
    assert process.returncode == EXIT


def test_whoever_waits_dies(done):
    ours, theirs = os.pipe()
    with works(done, theirs) as process:
        os.close(theirs)
        assert os.read(ours, 1)
        process.kill()
        wait_until(done.exists)
    os.close(ours)


# A Ctrl-C as soon as there are two, and each of them held up where it is: none gets ahead.
CTRL_C = """
import os, signal, time
def fork(fork=os.fork):
    worker = fork()
    if LATE == bool(worker):
        time.sleep(0.5)
    elif LATE:
        os.kill(0, signal.SIGINT)
    if worker and not LATE:
        os.kill(0, signal.SIGINT)
    return worker
os.fork = fork
"""
WORKS = """    time.sleep(30)
except KeyboardInterrupt:
    time.sleep(1)
    Path(sys.argv[1]).touch()
    raise SystemExit(5)
"""


@pytest.mark.parametrize("late", [True, False], ids=["waiter late", "worker late"])
def test_it_is_stopped_as_it_parts_from_its_terminal(done, late):
    """Whoever waits passes that on, once, and ends as what works does."""
    start, parts, _ = WORK.partition("outlive_terminal(Asked")
    rest = '("test", Path("/")))\n'
    # It may come while it parts, or after that.
    text = f"LATE = {late}\n{CTRL_C}{start}try:\n    {parts}{rest}{WORKS}"
    argv = (sys.executable, "-c", text, done)
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    ended = subprocess.run(
        argv, env=env, start_new_session=True, timeout=60, capture_output=True
    )
    assert ended.returncode == 5, ended.stderr
    assert done.exists()
    assert b"stopping" in ended.stderr


def test_what_was_not_taken_is_told(done):
    with open("/dev/full", "w") as full:
        ours, theirs = os.pipe()
        with works(done, full, theirs) as process:
            os.close(theirs)
            said = rest(ours)
    os.close(ours)
    assert done.exists()
    assert process.returncode == 1
    assert "standard output did not take all that this says: No space left" in said
