"""What the kernel lets an account do, asked of the kernel."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from backend_server.host.reader import HostReader
from backend_server.people.reach import granted


pytestmark = pytest.mark.share("people")


@pytest.mark.parametrize(
    ("mode", "expected"), [(0o604, "r"), (0o607, "rwx"), (0o650, "rx"), (0o600, "-")]
)
def test_as_one_of_all_or_by_a_group_of_theirs(mode, expected):
    """daemon is in mail by a line of /etc/group; the file is root's, and mail's."""
    subprocess.run(["gpasswd", "--add", "daemon", "mail"], check=True)
    folder = Path("/var/lib/granted")
    folder.mkdir()
    path = folder / "file"
    path.touch()
    path.chmod(mode)
    shutil.chown(path, group="mail" if mode & 0o070 else "root")
    ours = (os.getuid(), os.geteuid(), os.getgroups())
    assert granted(HostReader(), "daemon", str(path)) == expected
    assert (os.getuid(), os.geteuid(), os.getgroups()) == ours
    folder.chmod(0o700)
    assert granted(HostReader(), "daemon", str(path)) == "-"


def test_nobody_has_nothing():
    assert granted(HostReader(), "who-is-that", "/etc/passwd") == "-"
