"""Programs that run before they are asked, and files that are looked at once."""

from __future__ import annotations

import os
import subprocess

import pytest

from backend_server.host.reader import HostReader


def git(folder, *words):
    who = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True)


@pytest.fixture
def checkout(tmp_path):
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    git(checkout, "init", "--quiet")
    git(checkout, "commit", "--quiet", "--allow-empty", "--message=first")
    return checkout


def children():
    return subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())],
        capture_output=True,
        text=True,
    ).stdout


def changed(said):
    return [line for line in said.stdout.splitlines() if not line.startswith("#")]


def test_what_was_begun_answers_once(checkout):
    host = HostReader()
    with host.ahead():
        host.begin(host.git_status, str(checkout))
        (process,) = host._begun.values()
        process.wait()
        (checkout / "file").touch()
        assert changed(host.git_status(str(checkout))) == []
        assert len(host.programs) == 1
        assert changed(host.git_status(str(checkout))) == ["? file"]
        assert len(host.programs) == 2


def test_what_was_begun_twice_runs_once(checkout):
    host = HostReader()
    with host.ahead():
        host.begin(host.git_status, str(checkout))
        host.begin(host.git_status, str(checkout))
        assert len(host.programs) == 1


def test_what_nobody_asked_is_over(checkout):
    host = HostReader()

    def interrupted():
        with host.ahead():
            host.begin(host._start, ("sleep", "1234"))
            with host.ahead():
                host.begin(host._start, ("sleep", "5678"))
            assert "sleep 1234" in children()
            assert "sleep 5678" not in children()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "sleep 1234" not in children()
    host.begin(host.git_status, str(checkout))
    with host.ahead():
        assert len(host.programs) == 3
        host.git_status(str(checkout))
        assert len(host.programs) == 4, "what was begun outside is not taken"
    assert host.git_status(str(checkout)).status == 0
    assert len(host.programs) == 4


def test_a_program_that_is_not_there_is_no_matter_until_it_is_asked():
    host = HostReader()
    with host.ahead():
        host.begin(host._start, ("no-such-program",))
    assert host.programs == []


def test_a_file_is_parsed_once_in_a_look(tmp_path):
    host = HostReader(tmp_path)
    (tmp_path / "file").write_text("one")
    assert host.parsed("/file", str) == "one"
    (tmp_path / "file").write_text("of before the look")
    with host.one_look():
        assert host.parsed("/file", str) == "of before the look"
        (tmp_path / "file").write_text("of meanwhile")
        assert host.parsed("/file", str) == "of before the look"
    assert host.parsed("/file", str) == "of meanwhile"
