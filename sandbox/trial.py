"""One trial: a bare host is managed twice, and the second time must change nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Callable, Dict, Sequence, TextIO, Tuple

from sandbox import doors, managed
from sandbox.checkout import PLACE
from sandbox.host import Host
from sandbox.machine import Machine
from sandbox.outside import NAMES


Say = Callable[[str], None]
Written = Dict[str, Tuple[int, int]]
# Where a host's configuration and programs are; /var changes by itself.
WATCHED = ("boot", "etc", "home", "opt", "root", "srv", "usr")


def twice(host: Host, backend: str, stream: TextIO) -> int:
    """0 when the host is the backend and a second run found nothing to do."""
    say = sayer(stream)
    status = once(host, backend, "bare host", stream)
    if status not in managed.DONE:
        return status
    before = written(host.overlay.upper)
    again = once(host, backend, "again", stream)
    if again not in managed.DONE:
        return again
    after = written(host.overlay.upper)
    changed = sorted(p for p in {**before, **after} if before.get(p) != after.get(p))
    if changed:
        say("The second run changed files:\n" + "\n".join(f"  /{p}" for p in changed))
        return 1
    places = ", ".join(f"/{top}" for top in WATCHED)
    say(f"The second run changed no file below {places}.")
    return status


def once(host: Host, backend: str, title: str, stream: TextIO) -> int:
    """The exit status of manage.sh, with all that it says as it says it."""
    say = sayer(stream)
    say(f"\n$ sudo ./{backend}/manage.sh --yes")
    began = time.monotonic()
    status = managed.shown(host, backend, stream)
    say(f"({title}: exit {status}, {time.monotonic() - began:.2f} s)")
    return status


def sayer(stream: TextIO) -> Say:
    """Says a line there, before anybody else does who writes to the same place."""

    def say(text: str) -> None:
        print(text, file=stream, flush=True)

    return say


def written(upper: Path) -> Written:
    """Every file the host wrote since it was made, and when.

    The time is that of the inode, which nobody can set back.
    """
    found: Written = {}
    for top in WATCHED:
        for folder, folders, names in os.walk(upper / top):
            # Python's and git's own notes about the checkout are no part of the host.
            folders[:] = [f for f in folders if f not in ("__pycache__", ".git")]
            for name in names:
                path = os.path.join(folder, name)
                facts = os.lstat(path)
                shown = os.path.relpath(path, upper)
                found[shown] = (facts.st_ctime_ns, facts.st_mode)
    return found


def run_there(machine: Machine, command: Sequence[str]) -> int:
    """The exit status of a program run in the checkout on the host, with our streams."""
    line = f'cd /{PLACE} && exec "$@"'
    return subprocess.call(machine.enter("bash", "-c", line, "sandbox", *command))


def shell(machine: Machine) -> int:
    """The exit status of root's login shell, on a terminal of the host's own if we have one."""
    line = f"cd /{PLACE}; exec bash -l"
    term = {"TERM": os.environ.get("TERM", "dumb")}
    if not sys.stdin.isatty():
        return subprocess.call(machine.enter("bash", "-c", line, env=term))
    columns, lines = shutil.get_terminal_size()
    size = f"stty columns {columns} rows {lines}; {line}"
    argv = machine.enter("script", "-qec", size, "/dev/null", env=term)
    return subprocess.call(argv)


def summary(host: Host) -> str:
    """How to get in, as whom, and what answers."""
    lines = [f"{host.id} is up: {host.tree.release}, {host.address}, {host.address6}"]
    lines += doors.lines(host.id, host.address)
    listening = host.run("ss -Htln | awk '{print $4}' | sort -u", check=False).stdout
    lines.append(f"it listens on {', '.join(listening.split()) or 'nothing'}")
    if host.lab.online:
        lines.append("it reaches whatever this machine reaches")
    else:
        lines.append("it reaches the package mirror and stand-ins for the rest:")
        lines += [f"  https://{name}" for name in NAMES]
    return "\n" + "\n  ".join(wrapped for line in lines for wrapped in narrow(line))


def narrow(line: str) -> list[str]:
    """The line in pieces for 80 columns; what can be pasted stays in one, and is shorter."""
    fold = textwrap.TextWrapper(76, subsequent_indent="  ", break_on_hyphens=False)
    return fold.wrap(line)
