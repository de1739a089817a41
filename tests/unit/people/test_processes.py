"""Whose a process is, as /proc has it."""

import os

import pytest

from backend_server.host.reader import HostReader
from backend_server.people import processes


RITA = 1004
UNSET = 2**32 - 1


@pytest.fixture
def start(tmp_path):
    """start(pid, uids, …): a process is in /proc."""

    def put(
        pid, uids=(0, 0, 0, 0), login=UNSET, parent=1, name="sh", state="S", threads=1
    ):
        folder = tmp_path / "proc" / str(pid)
        folder.mkdir(parents=True)
        ids = "\t".join(map(str, uids))
        lines = [f"Name:\t{name}", f"State:\t{state} (any)", f"PPid:\t{parent}"]
        lines += [f"Uid:\t{ids}", f"Threads:\t{threads}", "SigPnd:\t0000000000000100"]
        lines += ["ShdPnd:\t0000000000000000", ""]
        (folder / "status").write_text("\n".join(lines))
        (folder / "loginuid").write_text(str(login))
        return folder

    put(1, name="systemd", parent=0)
    return put


@pytest.fixture
def of_rita(start, tmp_path):
    """A function: the numbers of what rita runs."""
    reader = HostReader(tmp_path)
    return lambda: [p.pid for p in processes.of(processes.running(reader), RITA)]


@pytest.mark.parametrize("place", range(4), ids=["real", "effective", "saved", "file"])
def test_any_of_four_uids_counts(start, of_rita, place):
    start(70, [RITA if n == place else 0 for n in range(4)])
    start(71, [RITA * 10] * 4)
    assert of_rita() == [70]


def test_who_logged_in_counts_whatever_they_became(start, of_rita):
    start(70, login=RITA)
    start(71, [10000] * 4, login=RITA)
    start(72, [10000] * 4)
    (start(73) / "loginuid").unlink()  # a kernel without auditing
    assert of_rita() == [70, 71]


def test_what_has_ended_does_not_count(start, of_rita):
    start(70, [RITA] * 4, state="Z")
    start(71, [RITA] * 4, state="X", threads=0)
    (start(72, [RITA] * 4) / "status").unlink()
    assert of_rita() == []


def test_a_first_thread_that_is_gone_hides_no_others(start, of_rita):
    start(70, [RITA] * 4, state="Z", threads=2)
    assert of_rita() == [70]


def test_this_run_and_what_started_it_do_not_count(start, of_rita):
    start(70, [RITA] * 4)
    start(71, [RITA] * 4, parent=70)
    start(os.getpid(), login=RITA, parent=71)
    start(72, [RITA] * 4, parent=70)
    start(73, login=RITA, parent=os.getpid())
    assert sorted(of_rita()) == [72, 73]


@pytest.mark.parametrize("name", ["x\fUid:\t0\t0\t0\t0", "x\\nUid:\t0", "\x1b[2J", ")"])
def test_no_name_hides_a_process_or_drives_a_terminal(start, of_rita, tmp_path, name):
    start(70, [RITA] * 4, name=name)
    assert of_rita() == [70]
    assert processes.running(HostReader(tmp_path))[70].name.isprintable()


def test_one_that_is_killed_but_held_by_the_kernel(start, tmp_path):
    folder = start(70, [RITA] * 4, state="D")
    running = processes.running(HostReader(tmp_path))
    assert not running[70].doomed  # pending for one thread is not for the process
    status = folder / "status"
    status.write_text(
        status.read_text().replace("ShdPnd:\t00000000000000", "ShdPnd:\t00000000000001")
    )
    assert processes.running(HostReader(tmp_path))[70].doomed


def test_whose_name_is_what_root_says(start, tmp_path):
    """Not that of a program that somebody started as root, nor of one with its own uid."""
    start(2, name="containerd-shim")
    start(3, uids=(RITA, 0, 0, 0), name="containerd-shim")
    start(4, login=RITA, name="containerd-shim")
    start(5, uids=(RITA,) * 4, name="containerd-shim")
    found = processes.running(HostReader(tmp_path)).values()
    assert [p.pid for p in found if p.uids <= {0, UNSET}] == [1, 2]
