"""What the tests do to a host: run manage.sh, talk to it on a terminal, see what changed."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, Iterator, Mapping

from sandbox.checkout import PLACE
from sandbox.command import Done
from sandbox.host import Host


CHECKOUT = f"/{PLACE}"
# Not tests: these run the tool in a host, and end or stop it at some step.
KILLED = Path(__file__).with_name("killed.py")
STOPPED = Path(__file__).with_name("stopped.py")

HISTORY = "/var/log/opensafely/history.jsonl"

# What a run may touch, but for the packages' own files: where a change would matter.
WATCHED = "/etc /home /root /srv /usr/local /usr/share/pam-configs /var/lib/dpkg"
FACTS = r"%p\t%y %m %U %G %s %T@ %C@ %l\n"


def manage(
    host: Host,
    words: str = "",
    backend: str = "test",
    prefix: str = "",
    env: Mapping[str, str] | None = None,
) -> Done:
    """One run of manage.sh, however it ends."""
    return host.run(
        f"{prefix} {CHECKOUT}/{backend}/manage.sh {words}", check=False, env=env
    )


def marked(host: Host, backend: str = "tpp") -> Host:
    """A layer has lost what chattr(1) said of its folders: a run has seen to that again."""
    manage(host, "--offline --only outputs", backend)
    return host


def rests(host: Host, backend: str = "test", words: str = "") -> bool:
    """Whether a run finds everything as declared and says so in one line."""
    done = manage(host, words, backend=backend)
    line, _, rest = done.stdout.partition("\n")
    fine = line.startswith(f"{backend}: ") and "as declared (" in line and not rest
    assert done.returncode == 0, done.stdout + done.stderr
    assert fine, done.stdout
    return fine


def snapshot(host: Host, places: str = WATCHED) -> dict[str, str]:
    """Every file there with its type, mode, owner, size and both times.

    Python's own notes are left out: they come with the first import.
    """
    found = host.run(
        f"find {places} -name __pycache__ -prune -o -path '/srv*' -type d "
        f"-o -printf '{FACTS}'"
    ).stdout
    return dict(line.split("\t", 1) for line in found.splitlines())


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return sorted(
        path for path in {*before, *after} if before.get(path) != after.get(path)
    )


def history(host: Host) -> list[dict[str, Any]]:
    """Every line of the history, oldest first; none where nothing was run."""
    lines = host.run(f"cat {HISTORY} 2>/dev/null", check=False).stdout.splitlines()
    return [json.loads(line) for line in lines]


def missed(done: Done) -> list[dict[str, Any]]:
    """What was not done, as the run of manage.sh --json said."""
    resources = json.loads(done.stdout)["resources"]
    unwell = ("failed", "not reached", "refused")
    return [found for found in resources if found["outcome"] in unwell]


def people_of(host: Host, group: str) -> set[str]:
    members = host.run(f"getent group {group}").stdout.strip().split(":")[3]
    return set(members.split(",")) - {""}


@contextlib.contextmanager
def edited(host: Host, path: str, text: str) -> Iterator[None]:
    """A file of the host says something else meanwhile."""
    before = host.read(path)
    host.run(f"cat > {path}", stdin=text)
    try:
        yield
    finally:
        host.run(f"cat > {path}", stdin=before)


@contextlib.contextmanager
def untouched(host: Host) -> Iterator[None]:
    """What happens meanwhile leaves no trace, not even in the history."""
    before, runs = snapshot(host), history(host)
    yield
    found = changed(before, snapshot(host))
    assert not found, f"this was touched: {found}"
    assert history(host) == runs, "the history has a line more"


def refused(done: Done, *said: str) -> None:
    """It ended with 2 and these sentences, and no traceback."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    for sentence in said:
        assert sentence in done.stderr, done.stderr
