"""Real commands, as root, on a copy: nothing here reaches the machine's own accounts or files.

Each test runs in a process of its own, in its own mount, UTS and PID namespaces. There /etc is a
copy with the accounts of a fresh Debian, what is written to /home, /usr and /var is kept in memory, and
no process of the machine is seen or can be reached, neither by number nor through /run.
"""

import ctypes
import os
import shutil
import subprocess
import warnings
from pathlib import Path

import pytest

from tests.unit.example import site_of


MASTERS = Path("/usr/share/base-passwd")  # passwd and group before anybody was added

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWPID = 0x20000000


@pytest.fixture
def place(tmp_path):
    """An empty folder; within the test it is in memory."""
    return tmp_path / "place"


@pytest.fixture
def snapshot(place):
    """A function: every file of the copy, with what would tell that it was touched."""
    tops = [Path("/etc"), place / "home.upper", place / "var.upper"]

    def take():
        found = {top: top.lstat() for top in tops}
        found.update((path, path.lstat()) for top in tops for path in top.rglob("*"))
        return {
            str(path): (stat.st_ino, stat.st_mode, stat.st_mtime_ns, stat.st_ctime_ns)
            for path, stat in found.items()
        }

    return take


@pytest.fixture
def site(place):
    """A function: what a backend declares here, with ada, grace, rita and gus on its rosters."""
    return lambda name, release: site_of(name, release, place / "checkout")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    place = pyfuncitem.funcargs["tmp_path"] / "place"
    ours, theirs = os.pipe()
    with warnings.catch_warnings():
        # A worker has a thread that reads its orders; it holds nothing that the test needs.
        warnings.filterwarnings("ignore", "This process .* is multi-threaded")
        child = os.fork()
    if not child:
        run_and_exit(place, theirs, lambda: pyfuncitem.obj(**arguments))
    os.close(theirs)
    with os.fdopen(ours, errors="replace") as pipe:
        failure = pipe.read()
    _, status = os.waitpid(child, 0)
    if status:
        pytest.fail(failure or f"the test's process ended with {status}", pytrace=False)
    return True


@pytest.fixture(autouse=True)
def _has_a_place(tmp_path):
    """Every test has the folder that its copy is mounted in."""


def run_and_exit(place, report, test):
    try:
        enter_a_copy(place)
        be_the_first_process()
        test()
    except BaseException:
        text = str(pytest.ExceptionInfo.from_current().getrepr(style="long"))
        view = text.encode("utf-8", "backslashreplace")
        while view:
            view = view[os.write(report, view) :]
        os._exit(1)
    os._exit(0)


def enter_a_copy(place):
    unshare(CLONE_NEWNS | CLONE_NEWUTS)
    place.mkdir()
    mount("--make-rprivate", "/")
    mount("-t", "tmpfs", "tmpfs", place)
    mount("-t", "tmpfs", "tmpfs", "/run")
    for name in ("home", "root", "srv", "usr", "var"):
        upper, work = place / f"{name}.upper", place / f"{name}.work"
        upper.mkdir()
        work.mkdir()
        layers = f"lowerdir=/{name},upperdir={upper},workdir={work}"
        mount("-t", "overlay", "overlay", "-o", layers, f"/{name}")
    subprocess.run(["cp", "--archive", "/etc", place], check=True)
    mount("--bind", place / "etc", "/etc")
    fresh_accounts()


def be_the_first_process():
    """All that is started from here on ends with the test, and sees nobody else."""
    unshare(CLONE_NEWPID)
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        os._exit(1 if status else 0)
    assert os.getpid() == 1
    mount("-t", "proc", "proc", "/proc")


def unshare(flags):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags):
        raise OSError(ctypes.get_errno(), "unshare: these tests need root")


def fresh_accounts():
    for name in ("passwd", "group"):
        shutil.copy(MASTERS / f"{name}.master", f"/etc/{name}")
    for name in ("shadow", "gshadow", "subuid", "subgid"):
        Path("/etc", name).unlink()
    subprocess.run(["pwconv"], check=True)
    subprocess.run(["grpconv"], check=True)


def mount(*argv):
    subprocess.run(["mount", *argv], check=True)
