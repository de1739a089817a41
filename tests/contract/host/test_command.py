"""Programs run in a clean room, and end when they are told."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backend_server.host import command
from backend_server.host.writer import Host
from backend_server.text.errors import CommandFailed


ROOT = Path(__file__).parents[3]


def run(*argv, deadline_s=10, stdin="", environment=None):
    process = command.start(argv, hears=bool(stdin), environment=environment)
    return command.answer(process, stdin=stdin, deadline_s=deadline_s)


def shell(line, **more):
    return run("sh", "-c", line, **more)


def test_the_answer_has_all_three_parts():
    said = shell("echo out; echo err >&2; exit 3")
    assert said == command.Output(3, "out\n", "err\n")


def test_nothing_of_the_caller_comes_along(monkeypatch, place):
    for name in ("PATH", "LC_ALL", "LD_PRELOAD", "PYTHONPATH", "GIT_DIR", "HOME"):
        monkeypatch.setenv(name, str(place))
    os.chdir(place)
    handle = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(handle, True)
    shown = run("env").stdout.splitlines()
    assert set(shown) == {
        f"{name}={value}" for name, value in command.ENVIRONMENT.items()
    }
    assert run("pwd", "-P").stdout == "/\n"
    assert run("ls", "/proc/self/fd").stdout.split() == ["0", "1", "2", "3"]


def test_what_is_given_is_added():
    shown = run("env", environment={"A": "b", "LC_ALL": "C"}).stdout.splitlines()
    assert {"A=b", "LC_ALL=C", f"PATH={command.ENVIRONMENT['PATH']}"} <= set(shown)


def test_stdin_is_closed_unless_something_is_said():
    assert run("cat").stdout == ""
    assert run("cat", stdin="pass\nwörd\n").stdout == "pass\nwörd\n"


def test_no_terminal_can_be_asked():
    assert shell("exec </dev/tty && echo there").stdout == ""


@pytest.mark.parametrize("argument", ["$(id)", "a b", "`id`", "; id", "*", "-", "'"])
def test_arguments_are_passed_as_they_are(argument):
    assert run("printf", "%s", argument).stdout == argument


def test_any_locale_of_the_caller_will_do():
    """The program speaks C.UTF-8, whatever this process was told."""
    lines = (
        "from backend_server.host import command",
        "cat = command.start(('cat',), hears=True)",
        "found = command.answer(cat, stdin='w\\xf6rd', deadline_s=9)",
        "assert found.stdout == 'w\\xf6rd', ascii(found)",
    )
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r}); {'; '.join(lines)}"
    argv = [sys.executable, "-I", "-X", "utf8=0", "-c", script]
    subprocess.run(argv, env={"LC_ALL": "C"}, check=True)


def test_a_program_that_is_not_there():
    with pytest.raises(CommandFailed, match="could not be started: No such file"):
        run("no-such-program")


def test_failure_shows_the_line_to_repeat_and_all_that_was_printed():
    with pytest.raises(CommandFailed) as failed:
        Host().run("sh", "-c", "echo out; echo err >&2; exit 4")
    assert str(failed.value) == (
        "`sh -c 'echo out; echo err >&2; exit 4'` ended with exit status 4"
    )
    assert failed.value.hint.split() == ["out", "err"]


def test_what_was_said_to_a_program_is_not_told():
    with pytest.raises(CommandFailed) as failed:
        Host().run("sh", "-c", "cat >/dev/null; exit 1", stdin="opensesame")
    assert "opensesame" not in str(failed.value) + failed.value.hint


# NAP is a number of seconds that nobody else on this machine sleeps.
LATE = {
    "waits": "sleep NAP",
    "has children": "sleep NAP & sleep NAP & wait",
    "will not hear": "trap '' TERM; sleep NAP; sleep NAP",
    "has a child that will not hear": (
        "trap '' TERM; sleep NAP >/dev/null 2>&1 & trap - TERM; wait"
    ),
    "is gone, and its child is not": "sleep NAP & exit",
    "talks on and on": "yes sleep NAP",
}


@pytest.fixture
def nap(monkeypatch):
    monkeypatch.setattr(command, "_GRACE_S", 0.3)
    return lambda: f"1234.{os.getpid()}"


def still_there(nap):
    """The programs that go on; what was killed takes a moment to be gone."""
    for _ in range(50):
        found = [line for line in command_lines() if nap.encode() in line]
        if not found:
            break
        time.sleep(0.05)
    return found


def command_lines():
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield (process / "cmdline").read_bytes()


@pytest.mark.parametrize("line", LATE.values(), ids=LATE)
def test_the_deadline_ends_everything(line, nap):
    started = time.monotonic()
    with pytest.raises(CommandFailed, match="did not end within 0.3 seconds"):
        shell(line.replace("NAP", nap()), deadline_s=0.3)
    assert time.monotonic() - started < 5
    assert still_there(nap()) == []


def test_the_deadline_does_not_wait_for_a_daemon(nap):
    started = time.monotonic()
    with pytest.raises(CommandFailed):
        shell("setsid sleep 8 & sleep 8", deadline_s=0.3)
    assert time.monotonic() - started < 5


def test_an_interrupt_leaves_nothing_running(nap):
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    with pytest.raises(KeyboardInterrupt):
        shell("sleep NAP & sleep NAP".replace("NAP", nap()))
    assert still_there(nap()) == []


def test_bytes_of_names_survive_and_so_do_ends_of_lines():
    names = os.fsdecode(b"c\rd\r\n\xff\xe2\x80\xa8\0")
    assert run("printf", r"c\rd\r\n\377\342\200\250\0").stdout == names
    assert run("cat", stdin=names).stdout == names
