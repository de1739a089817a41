"""What an account has arranged to run while it is not logged in, and putting that away."""

from __future__ import annotations

import stat

from backend_server.host import Host, HostReader
from backend_server.text.change import counted


PUT_AWAY = "/var/lib/opensafely/leavers"  # for root to look at, a folder for each

CRONTABS = "/var/spool/cron/crontabs"
_AT_JOBS = "/var/spool/cron/atjobs"


def put_crontab_away(host: Host, name: str) -> None:
    _put_away(host, name, f"{CRONTABS}/{name}", "crontab")


def at_jobs(host: HostReader, name: str) -> str:
    jobs = _at_jobs_of(host, name)
    return counted(len(jobs), "at job") if jobs else ""


def put_at_jobs_away(host: Host, name: str) -> None:
    for job in _at_jobs_of(host, name):
        _put_away(host, name, f"{_AT_JOBS}/{job}", job)


def _at_jobs_of(host: HostReader, name: str) -> list[str]:
    """Their names say when they run, not whose they are."""
    user = host.users().get(name)
    found = [(job, host.stat(f"{_AT_JOBS}/{job}")) for job in host.names(_AT_JOBS)]
    return [job for job, file in found if user and file and file.st_uid == user.uid]


def _put_away(host: Host, name: str, path: str, what: str) -> None:
    """Moved, as a copy might not fit on the disk; what was put away before stays."""
    folder = f"{PUT_AWAY}/{name}"
    if host.stat(folder) is None:
        host.make_directory(folder, 0o700, "root", "root")
    found = host.stat(path)
    if found is None:  # a job that has run meanwhile
        return
    kept = f"{folder}/{what}.{found.st_mtime_ns}"
    host.run("mv", "--no-target-directory", path, kept)
    if stat.S_ISREG(found.st_mode):
        host.set_access(kept, 0o600, "root", "root")
