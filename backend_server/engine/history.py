"""Who changed what on this host, and when: one JSON line a run."""

from __future__ import annotations

import json
import os
import syslog
import time
from typing import Iterator

from backend_server.host import Host, HostReader
from backend_server.host.files import write_all
from backend_server.text.errors import UserError


HISTORY = "/var/log/opensafely/history.jsonl"
_JOURNAL_BYTES = 4000


def append(host: Host, entry: dict[str, object]) -> None:
    """ENTRY is the last line of the history, on disk, and the journal has it too.

    The folder is made here, closed to others, since a first run is recorded before it begins.
    A line that a full disk cut short is ended first, so that it spoils no other. Raises
    UserError where the line could not be written whole.
    """
    line = json.dumps(entry, sort_keys=True)
    syslog.openlog("backend-server")
    syslog.syslog(syslog.LOG_NOTICE, line[:_JOURNAL_BYTES])
    try:
        _append(str(host.root / HISTORY.lstrip("/")), line.encode())
    except OSError as error:
        raise UserError(
            f"this run is not in the history: {error.strerror} ({HISTORY})",
            hint="df -h; journalctl -t backend-server -n 1",
        ) from None


def _append(path: str, line: bytes) -> None:
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    os.chmod(folder, 0o750)
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags, 0o640)
    try:
        size = os.fstat(fd).st_size
        whole = size == 0 or os.pread(fd, 1, size - 1) == b"\n"
        write_all(fd, (b"" if whole else b"\n") + line + b"\n")
        os.fsync(fd)
    finally:
        os.close(fd)


def runs(host: HostReader) -> Iterator[dict[str, object]]:
    """Every run in the history, newest first; what else people did is passed over."""
    return (entry for entry in entries(host) if "event" not in entry)


def entries(host: HostReader) -> Iterator[dict[str, object]]:
    """Every line of the history, newest first; those that were cut short are passed over."""
    # logrotate leaves the file before this one as it is.
    text = (host.read(f"{HISTORY}.1") or "") + (host.read(HISTORY) or "")
    for line in reversed(text.splitlines()):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            yield entry


def event(host: Host, checkout: str, what: str, **more: object) -> None:
    """A line of what somebody did that is no run."""
    entry = {"format": 1, "event": what, "began": now(), **more}
    append(host, {**entry, **context(host, checkout)})


def context(host: HostReader, checkout: str) -> dict[str, object]:
    """When, who, and from which commit; `clean` means that nothing was changed since."""
    output = host.git_status(checkout)
    lines = output.stdout.splitlines()
    commits = [line.split()[-1] for line in lines if line.startswith("# branch.oid")]
    return {
        "who": who(host),
        "commit": commits[0][:12] if commits else "unknown",
        "clean": bool(commits) and all(line.startswith("#") for line in lines),
    }


def now(ago_s: float = 0) -> str:
    """The time in UTC, or that of so many seconds ago; as text, they sort."""
    return at(time.time() - ago_s)


def at(seconds: float) -> str:
    """A time as the kernel has it, as text in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def who(host: HostReader) -> str:
    """The person behind this run; where nobody logged in, the account that called sudo."""
    return (
        host.person() or os.environ.get("SUDO_USER", "") or host.user_name(os.getuid())
    )


def holder(host: HostReader, what: str) -> str:
    """What somebody is at, who it is and since when, for whoever wants the lock that they hold."""
    return f"{what} by {who(host)}, since {now()}"
