"""The file manager's "Take my changes back", where another reviewer has prepared the folder."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from backend_server.host.opened import NotPlain
from backend_server.review import laying
from tests.contract.review.laid import (
    CSV,
    HAL,
    MARKED,
    MEDIUM,
    TABLE,
    edit,
    job,
    lay,
    prepare,
)


pytestmark = pytest.mark.share("Airlock")

SCRIPT = Path(__file__).resolve().parents[3] / "etc/xdg/opensafely/original"
HERE = MEDIUM / "trial" / CSV
DIARY, PRIVATE = Path("/srv/diary.csv"), b"nobody else's\n"


def begin():
    """gus has edited the output of a job, and hal has a file of his own."""
    prepare()
    job("trial", {CSV: TABLE})
    lay()
    edit(HERE, MARKED)
    DIARY.write_bytes(PRIVATE)
    os.chown(DIARY, HAL, HAL)
    subprocess.run(["chmod", "-R", "a+rwX", "/srv"], check=True)
    DIARY.chmod(0o640)


def take_back(path=HERE):
    hal = ("setpriv", f"--reuid={HAL}", f"--regid={HAL}", "--clear-groups")
    argv = (*hal, str(SCRIPT), "take-back", str(path))
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def beside():
    return {p.name: p.read_bytes() for p in HERE.parent.iterdir() if p != HERE}


def test_the_jobs_bytes_are_back_and_the_edit_is_beside_them():
    begin()
    assert take_back().returncode == 0
    assert HERE.read_bytes() == TABLE
    (name,) = beside()
    assert name.startswith("table.edited-2")
    assert name.endswith("Z.csv")
    assert beside()[name] == MARKED


def link():
    HERE.unlink()
    HERE.symlink_to(DIARY)


def hard_link():
    HERE.unlink()
    os.link(DIARY, HERE)


def folder_of_hals():
    """A name that is his in a folder of his, by a link in place of the workspace's."""
    os.rename(HERE.parent, MEDIUM / "trial/away")
    own = Path("/srv/own")
    own.mkdir(mode=0o777)
    os.rename(DIARY, own / HERE.name)
    HERE.parent.symlink_to(own)
    DIARY.symlink_to(own / HERE.name)


@pytest.mark.parametrize("put", [link, hard_link, folder_of_hals])
def test_nothing_of_hals_is_written_over_or_handed_out(put):
    begin()
    put()
    before = {*beside()}
    done = take_back()
    assert done.returncode == 1
    assert "stays as it is" in done.stderr
    assert "Traceback" not in done.stderr
    assert DIARY.read_bytes() == PRIVATE
    assert {*beside()} == before


def test_a_name_that_waits_for_the_edit_leads_nowhere():
    begin()
    for second in range(120):
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() + second))
        (HERE.parent / f"table.edited-{stamp}.csv").symlink_to(DIARY)
    done = take_back()
    assert (done.returncode, "stays as it is" in done.stderr) == (1, True)
    assert DIARY.read_bytes() == PRIVATE
    assert HERE.read_bytes() == MARKED


@pytest.mark.parametrize("path", ["/etc/passwd", f"{MEDIUM}/../../diary.csv", CSV])
def test_nothing_but_an_output_is_taken_back(path):
    begin()
    done = take_back(path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert DIARY.read_bytes() == PRIVATE


def test_where_there_is_no_room_nothing_changes():
    """Neither by the file manager nor by a developer's command; and nothing is left lying about."""
    begin()
    small = b"sex,n\n" + b"F,[REDACTED]\n" * 10
    large = b"sex,n\n" + b"F,3120\n" * 9000
    job("trial", {CSV: large})
    lay()
    subprocess.run(["chmod", "-R", "a+rwX", "/srv"], check=True)
    full = ("mount", "-t", "tmpfs", "-o", "size=32k,mode=777", "none", MEDIUM / "trial")
    subprocess.run(full, check=True)
    edit(HERE, small)
    subprocess.run(["chmod", "-R", "a+rwX", MEDIUM / "trial"], check=True)
    done = take_back()
    assert (done.returncode, HERE.read_bytes(), beside()) == (1, small, {}), done.stderr
    assert "stays as it is: No space left on device" in done.stderr
    with pytest.raises(OSError, match="No space left"):
        laying.restored("trial", CSV)
    assert (HERE.read_bytes(), beside()) == (small, {})
    assert not [
        p.name for p in (MEDIUM / "trial").iterdir() if p.name.endswith(".part")
    ]


def test_what_somebody_saves_meanwhile_is_left(monkeypatch):
    begin()
    rename = os.rename

    def renamed(*names, **where):
        rename(*names, **where)
        if ".edited-" in str(names[1]):
            edit(HERE, b"an hour of work")

    monkeypatch.setattr(os, "rename", renamed)
    with pytest.raises(NotPlain, match=r"was saved by somebody just now, and is left"):
        laying.restored("trial", CSV)
    assert HERE.read_bytes() == b"an hour of work"
    assert [*beside().values()] == [MARKED]


@pytest.mark.parametrize(
    "path", [Path("/srv/diary.csv"), Path("/srv/medium_privacy/review/trial") / CSV]
)
def test_what_is_no_file_of_a_workspace(path):
    begin()
    done = take_back(path)
    assert (done.returncode, "is no file of a workspace" in done.stderr) == (1, True)


def test_what_is_too_large_to_be_an_edit():
    begin()
    os.truncate(HERE, 300 << 30)
    done = take_back()
    assert (done.returncode, beside()) == (1, {}), done.stderr
    assert "it is larger than 16 MiB" in done.stderr


@pytest.mark.parametrize("how", ["in place", "by a rename", "a line more"])
def test_what_another_saves_while_a_copy_is_made_is_left(how):
    """The copy is on disk, and the job's bytes are not written yet."""
    begin()
    lines = SCRIPT.read_text().splitlines(keepends=True)
    stop = next(n for n, line in enumerate(lines) if "os.fsync(new)" in line)
    lines.insert(
        stop + 1, lines[stop].replace("os.fsync(new)", "os.kill(os.getpid(), 19)")
    )
    slow = Path("/srv/original")
    slow.write_text("".join(lines))
    slow.chmod(0o755)
    argv = (
        "setpriv",
        f"--reuid={HAL}",
        f"--regid={HAL}",
        "--clear-groups",
        slow,
        "take-back",
        HERE,
    )
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        if how == "by a rename":
            edit(HERE, b"an hour of work")
        else:
            with open(HERE, "ab" if how == "a line more" else "wb") as file:
                file.write(b"an hour of work")
        now = HERE.read_bytes()
        process.send_signal(signal.SIGCONT)
        assert "somebody saved it just now" in process.stderr.read()
    assert (process.returncode, HERE.read_bytes(), beside()) == (1, now, {})
