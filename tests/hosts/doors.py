"""Ways into a host: ssh with options of one's own, a terminal, a stranger's key."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Iterator

from sandbox import people
from sandbox.command import Done, run
from sandbox.host import Host
from sandbox.people import Person
from tests.hosts.managing import CHECKOUT, edited, manage
from tests.hosts.programs import Terminal, talking


OURS = "/etc/ssh/sshd_config.d/00-opensafely.conf"
KEYS = "/etc/ssh/opensafely_keys"
CANARY = f"{KEYS}/opensafely-canary"
UNDO = "/var/lib/opensafely/undo"
# systemd would not start it often in a short time.
RESTART = "systemctl daemon-reload; systemctl reset-failed ssh; systemctl restart ssh"
# What sshd says to whom it offers nothing else.
ONLY_KEYS = "Permission denied (publickey)."


def stranger(folder: Path) -> Person:
    """Somebody whose key no roster knows."""
    return people.make(folder / "stranger", ["mallory"])["mallory"]


def ssh(
    host: Host,
    user: str,
    key: Path,
    command: str = "id -un",
    options: tuple[str, ...] = (),
) -> Done:
    """As host.ssh, with options that count before the usual ones; however it ends."""
    program, *usual = host.ssh_argv(user, key, command)
    return run(program, *options, *usual, check=False)


def opens(host: Host, user: str, key: Path) -> bool:
    """Whether this key opens this account; when not, then because sshd says so."""
    done = ssh(host, user, key)
    if done.returncode == 0:
        assert done.stdout == f"{user}\n"
        return True
    assert done.returncode == 255, done.stderr
    assert ONLY_KEYS in done.stderr or "Connection closed" in done.stderr, done.stderr
    return False


def lets_in(host: Host, *names: str) -> bool:
    """Whether each of them gets in with their own key, and gus does not."""
    assert not opens(host, "gus", host.people["gus"].key)
    return all(opens(host, name, host.people[name].key) for name in names)


@contextlib.contextmanager
def desk(host: Host, name: str, command: str) -> Iterator[Terminal]:
    """Somebody at a terminal of their own, over ssh."""
    argv = host.ssh_argv(name, host.people[name].key, command)
    with talking([argv[0], "-tt", *argv[1:]]) as terminal:
        yield terminal


@contextlib.contextmanager
def on_host(host: Host, path: str, text: str) -> Iterator[None]:
    """A file that nobody declared is there meanwhile, and sshd has read it if it is sshd's."""
    host.write(path, text)
    try:
        yield
    finally:
        host.run(f"rm -f {path}")


@contextlib.contextmanager
def sshd_reads(host: Host, path: str, text: str) -> Iterator[None]:
    """As on_host, and the running sshd goes by it."""
    with on_host(host, path, text):
        host.run(RESTART)
        yield
    host.run(RESTART)


@contextlib.contextmanager
def bent(host: Host, path: str, old: str, new: str) -> Iterator[None]:
    """The tool itself is another one meanwhile: OLD in a file of the checkout became NEW."""
    text = host.read(f"{CHECKOUT}/{path}")
    assert old in text
    with edited(host, f"{CHECKOUT}/{path}", text.replace(old, new)):
        yield


def like_new(host: Host) -> None:
    """sshd knows nothing of us, as before a first run."""
    host.run(f"rm -f {OURS}; {RESTART}")


def heals(host: Host, backend: str = "emis") -> bool:
    """Whether a run puts right what is different, and the next finds all as declared."""
    done = manage(host, backend=backend)
    assert done.returncode == 0, done.stdout + done.stderr
    again = manage(host, backend=backend)
    assert again.returncode == 0, again.stdout + again.stderr
    assert len(again.stdout.splitlines()) == 1, again.stdout
    return True


def nothing_left(host: Host) -> bool:
    """Whether no copy to bring back and no key of the canary lies about."""
    found = host.run(f"ls {UNDO} {CANARY}", check=False).stdout
    print(found)  # shown when it matters
    return found.split() in ([], [f"{UNDO}:"])
