"""What Airlock needs of the host that runs it, looked at from inside. Whatever is wrong is said at once."""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path
from typing import Iterator, Mapping


UID = 10000
FOLDERS = ("AIRLOCK_WORK_DIR", "AIRLOCK_WORKSPACE_DIR", "AIRLOCK_REQUEST_DIR")
NEEDED = (
    *(*FOLDERS, "DJANGO_SECRET_KEY", "DJANGO_DEBUG", "DJANGO_ALLOWED_HOSTS"),
    *("AIRLOCK_API_TOKEN", "AIRLOCK_API_ENDPOINT", "BACKEND"),
)
# Secrets of other services: in here they would be read by whoever gets into a page.
OTHERS = (
    *("CONTROLLER_TASK_API_TOKEN", "PRIVATE_REPO_ACCESS_TOKEN"),
    "DEFAULT_DATABASE_URL",
)


def missing(env: Mapping[str, str]) -> Iterator[str]:
    """Without these the real one does not start at all."""
    for name in NEEDED:
        # An empty key lets it start, and then each page is an error.
        if name not in env or (not env[name] and name != "DJANGO_SECRET_KEY"):
            yield f"{name} is not set"
    if env.get("AIRLOCK_API_ENDPOINT", "").endswith("/"):
        yield "AIRLOCK_API_ENDPOINT ends with a slash"


def wrong(env: Mapping[str, str]) -> Iterator[str]:
    """What a host has to be held to, though the real one would not notice."""
    yield from (f"{name} is in its environment" for name in OTHERS if env.get(name))
    if env.get("DJANGO_DEBUG") != "False":
        yield "DJANGO_DEBUG is on"
    if (os.getuid(), os.getgid()) != (UID, UID):
        yield f"it runs as {os.getuid()}:{os.getgid()}"
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        yield "its own account has no name, which run-one asks for"
    work, workspaces, requests = (Path(env[name]) for name in FOLDERS)
    yield from _writes(work, True)
    yield from _writes(requests, True)
    yield from _writes(workspaces, False)
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    if not any(line.split()[1] == "/" and _read_only(line) for line in mounts):
        yield "its own files can be written to"
    yield from _writes(Path("/tmp"), True)
    for folder in (work, requests):
        if folder.stat().st_mode & 0o077:
            yield f"others see what is in {folder}"
    status = Path("/proc/self/status").read_text()
    for word, value in (("CapBnd", "0000000000000000"), ("NoNewPrivs", "1")):
        if f"{word}:\t{value}\n" not in status:
            yield f"{word} is not {value}"
    if not Path("/etc/hosts").read_text().count("opensafely.org"):
        yield "it knows no names of OpenSAFELY"


def _read_only(mount: str) -> bool:
    return "ro" in mount.split()[3].split(",")


def _writes(folder: Path, wanted: bool) -> Iterator[str]:
    try:
        path = folder / f".{socket.gethostname()}.try"
        path.touch()
        path.unlink()
        found = True
    except OSError:
        found = False
    if found != wanted:
        yield f"{folder} can{'' if found else 'not'} be written to"
