"""Running a program on the host, in a clean room."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
from typing import Mapping, NoReturn

from backend_server.text.errors import CommandFailed
from backend_server.text.frozen import Frozen


# Nothing of the caller's environment comes along: not PATH, LD_*, PYTHON*, GIT_*, locale.
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "HOME": "/root",
    "DEBIAN_FRONTEND": "noninteractive",
    "SYSTEMD_PAGER": "",
    "SYSTEMD_COLORS": "0",
    # needrestart lists instead of restarting (docker, ssh sessions); files changed here stay.
    "NEEDRESTART_MODE": "l",
    "NEEDRESTART_SUSPEND": "1",
    "UCF_FORCE_CONFFOLD": "1",
    "APT_LISTCHANGES_FRONTEND": "none",
}


# For a person, in a container: the better of the two shells that are there.
SHELL = ("sh", "-c", "command -v bash >/dev/null && exec bash || exec sh")
_GRACE_S = 10


class Output(Frozen):
    """What a program answered."""

    status: int
    stdout: str
    stderr: str


def start(
    argv: tuple[str, ...],
    *,
    hears: bool = False,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """ARGV, running. Raises CommandFailed when it is not there."""
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.PIPE if hears else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env={**ENVIRONMENT, **(environment or {})},
            start_new_session=True,
        )
    except OSError as error:
        raise CommandFailed(
            f"`{shlex.join(argv)}` could not be started: {error.strerror}",
            hint=f"find out which package brings {argv[0]} and install it",
        ) from None


def answer(
    process: subprocess.Popen[bytes], *, stdin: str = "", deadline_s: float
) -> Output:
    """What a program that was started answered, whatever its exit status.

    Raises CommandFailed when it has not ended within `deadline_s` seconds; then it and everything
    it started is told to end, and killed if it does not.

    Bytes that are no UTF-8 survive, as do the ends of lines: names of files have them too.
    """
    data = stdin.encode("utf-8", "surrogateescape")
    try:
        said = process.communicate(data or None, timeout=deadline_s)
    except BaseException as error:  # a deadline or Ctrl-C: leave nothing running behind
        end(process)
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
        called = shlex.join(process.args)  # type: ignore[arg-type]
        raise CommandFailed(
            f"`{called}` did not end within {deadline_s:g} seconds and was stopped",
            hint="run it by hand to see what it waits for",
        ) from None
    stdout, stderr = (each.decode("utf-8", "surrogateescape") for each in said)
    return Output(process.returncode, stdout, stderr)


def succeeded(argv: tuple[str, ...], output: Output) -> str:
    """Standard output of what ended with 0. Raises CommandFailed for what did not."""
    if output.status:
        raise CommandFailed(
            f"`{shlex.join(argv)}` ended with exit status {output.status}",
            hint=(output.stdout + output.stderr).strip(),
        )
    return output.stdout


def end(process: subprocess.Popen[bytes]) -> None:
    """Nothing of the program's group is left; pipes that a daemon of its holds are let go."""
    _signal(process, signal.SIGTERM)  # dpkg ends between two packages
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_S)
    _signal(process, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        with contextlib.suppress(OSError):
            pipe and pipe.close()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def become(*argv: str) -> NoReturn:
    """This process is that program from now on, with the terminal and the streams it has."""
    terminal = {"TERM": os.environ.get("TERM", "dumb")}
    try:
        os.execvpe(argv[0], argv, {**ENVIRONMENT, **terminal})
    except OSError as error:
        raise CommandFailed(
            f"`{shlex.join(argv)}` could not be started: {error.strerror}"
        ) from None
