"""Not a test: puts outputs in place the way the job-runner does. Runs on a host, as its account.

    python3 -I -S agent.py WORKSPACE UMASK

Every file is made in a job's volume, copied into high privacy with its mode, from there into
medium privacy under a temporary name, and renamed. The manifest comes last.
"""

import os
import shutil
import sys


HIGH, MEDIUM = "/srv/high_privacy", "/srv/medium_privacy"
HOME = "/home/opensafely"
MODES = {"open-0666": 0o666, "open-0644": 0o644, "open-0600": 0o600}
LATER = {"chmod-600": 0o600, "chmod-640": 0o640, "chmod-644": 0o644}
FOLDERS = {"mkdir-0777": 0o777, "mkdir-0755": 0o755, "mkdir-0700": 0o700}


def make(path, mode, content=b"data\n"):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    os.write(fd, content)
    os.close(fd)


def make_all(folder):
    """A file for each way of making one, and folders with a file in each."""
    for name, mode in MODES.items():
        make(f"{folder}/{name}", mode)
    for name, mode in LATER.items():
        make(f"{folder}/{name}", 0o666)
        os.chmod(f"{folder}/{name}", mode)
    for name, mode in FOLDERS.items():
        os.mkdir(f"{folder}/{name}", mode)
        make(f"{folder}/{name}/file", 0o666)


def copy_all(source, target):
    """As the agent copies: a temporary name beside, with the mode of the source, renamed."""
    for name in (*MODES, *LATER):
        spare = f"{target}/{name}.0123456789abcdef.tmp"
        shutil.copy(f"{source}/{name}", spare)
        os.rename(spare, f"{target}/copied-{name}")


def finish(workspace):
    """The log is in both trees, and the manifest in medium."""
    for tree in (HIGH, MEDIUM):
        make(f"{tree}/workspaces/{workspace}/metadata/action.log", 0o644)
    metadata = f"{MEDIUM}/workspaces/{workspace}/metadata"
    make(f"{metadata}/manifest.tmp", 0o644, b"{}\n")
    os.rename(f"{metadata}/manifest.tmp", f"{metadata}/manifest.json")


def main(workspace, umask):
    os.umask(int(umask, 8))
    volume = f"{HIGH}/volumes/{workspace}"
    os.mkdir(volume)
    make_all(volume)
    os.makedirs(f"{HIGH}/workspaces/{workspace}/metadata")
    os.makedirs(f"{MEDIUM}/workspaces/{workspace}/metadata")
    high, medium = (f"{tree}/workspaces/{workspace}" for tree in (HIGH, MEDIUM))
    make_all(high)
    copy_all(volume, high)
    make_all(medium)
    copy_all(high, medium)
    make(f"{HOME}/{workspace}", 0o600)
    shutil.move(f"{HOME}/{workspace}", f"{medium}/moved-in")
    shutil.copy2(f"{high}/open-0600", f"{medium}/copy2-0600")
    os.makedirs(f"{MEDIUM}/requests/{workspace}/1")
    make(f"{MEDIUM}/requests/{workspace}/1/content", 0o666)
    finish(workspace)


if __name__ == "__main__":
    main(*sys.argv[1:])
