"""One trial: a bare host is managed twice, and the second time must change nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Callable, Dict, Sequence, Tuple

from sandbox import managed
from sandbox.checkout import PLACE
from sandbox.host import Host
from sandbox.outside import NAMES
from sandbox.people import REVIEWERS
from sandbox.progress import Step


Say = Callable[[str], None]
# Host keys are made with the cached tree, so an address may have had others before.
UNKNOWN = "-o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no"
Written = Dict[str, Tuple[int, int]]
# Where a host's configuration and programs are; /var changes by itself.
WATCHED = ("boot", "etc", "home", "opt", "root", "srv", "usr")


def twice(host: Host, backend: str, say: Say) -> int:
    """0 when the host is the backend and a second run found nothing to do."""
    status = once(host, backend, "bare host", say)
    if status not in managed.DONE:
        return status
    before = written(host.overlay.upper)
    again = once(host, backend, "again", say)
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


def once(host: Host, backend: str, title: str, say: Say) -> int:
    """What manage.sh said, how long it took, and its exit status."""
    with Step(f"./{backend}/manage.sh --yes ({title})"):
        result = managed.manage(host, backend, check=False)
    status, said = result.done.returncode, result.done.stdout.rstrip()
    say(f"\n$ sudo ./{backend}/manage.sh --yes\n{said}")
    say(f"({title}: exit {status}, {result.seconds:.2f} s)")
    return status


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


def run_there(host: Host, command: Sequence[str]) -> int:
    """The exit status of a program run in the checkout on the host, with our streams."""
    line = f'cd /{PLACE} && exec "$@"'
    return subprocess.call(host.machine.enter("bash", "-c", line, "sandbox", *command))


def shell(host: Host) -> None:
    """A login shell of root on a terminal that the host itself has."""
    columns, lines = shutil.get_terminal_size()
    size = f"stty columns {columns} rows {lines}; cd /{PLACE}; exec bash -l"
    term = {"TERM": os.environ.get("TERM", "dumb")}
    subprocess.call(host.machine.enter("script", "-qec", size, "/dev/null", env=term))


def summary(host: Host) -> str:
    """How to get in, as whom, and what answers."""
    lines = [f"\n{host.id} is up: {host.tree.release}, {host.address}, {host.address6}"]
    for person in host.people.values():
        if person.name in REVIEWERS:  # who do not come by ssh
            continue
        lines.append(f"  ssh {UNKNOWN} -i {person.key} {person.name}@{host.address}")
    if not host.people:
        lines.append(f"  ssh {UNKNOWN} NAME@{host.address}   (with your own key)")
    listening = host.run("ss -Htln | awk '{print $4}' | sort -u", check=False).stdout
    lines.append(f"  it listens on {', '.join(listening.split()) or 'nothing'}")
    if host.lab.online:
        lines.append("  it reaches whatever this machine reaches")
    else:
        lines.append("  it reaches the package mirror and stand-ins for the rest:")
        lines += [f"    https://{name}" for name in NAMES]
    return "\n".join(lines)
