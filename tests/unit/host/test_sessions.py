"""Sessions as systemd-logind notes them: pasted, from one over ssh and one on a console."""

import os

import pytest

from backend_server.host.reader import HostReader
from backend_server.host.sessions import Session, at_work, sessions


OVER_SSH = """\
# This is private data. Do not parse.
UID=1000
USER=ada
ACTIVE=1
IS_DISPLAY=0
STATE=active
REMOTE=1
LEADER_FD_SAVED=0
TYPE=tty
ORIGINAL_TYPE=tty
CLASS=user
SCOPE=session-12.scope
FIFO=/run/systemd/sessions/12.ref
TTY=pts/0
REMOTE_HOST=198.51.100.7
SERVICE=sshd
LEADER=4711
AUDIT=12
REALTIME=1763859480000000
MONOTONIC=12500000
"""
CONSOLE = "UID=0\nUSER=root\nCLASS=user-early\nSERVICE=login\nLEADER=99\nMONOTONIC=7\n"
NO_PERSON = "UID=1000\nUSER=ada\nCLASS=manager\nSERVICE=systemd-user\nLEADER=5\n"


def test_who_is_logged_in(tmp_path):
    folder = tmp_path / "run/systemd/sessions"
    folder.mkdir(parents=True)
    texts = {"12": OVER_SSH, "c1": CONSOLE, "13": NO_PERSON, "14": "", "12.ref": ""}
    for name, text in texts.items():
        (folder / name).write_text(text)
    found = list(sessions(HostReader(tmp_path)))
    ada, root = found
    assert ada == Session("12", "ada", "sshd", "198.51.100.7", 12.5)
    assert str(ada) == "session 12: ada by sshd from 198.51.100.7"
    assert (root.user, root.remote) == ("root", "")
    assert str(root) == "session c1: root by login"


# As logind had it (systemd 252) of rita, who took control of her session and gave it a display.
FORGED = """\
UID=1004
USER=rita
TYPE=x11
CLASS=user
SCOPE=session-15.scope
DISPLAY=:9
USER=ada
SERVICE=xrdp-sesman
CLASS=manager
SERVICE=sshd
MONOTONIC=12500000
"""


def test_whose_a_session_is_nobody_says_for_themselves(tmp_path):
    folder = tmp_path / "run/systemd/sessions"
    folder.mkdir(parents=True)
    (folder / "15").write_text(FORGED)
    (found,) = sessions(HostReader(tmp_path))
    assert (found.user, found.service) == ("rita", "sshd")


def test_no_logind(tmp_path):
    assert list(sessions(HostReader(tmp_path))) == []


def test_nobody_is_at_work_without_an_account(tmp_path):
    session = Session("12", "ada", "sshd", "198.51.100.7", 12.5)
    assert not at_work(HostReader(tmp_path), session)


SCOPE = "/user.slice/user-1000.slice/session-12.scope"


@pytest.mark.parametrize(
    ("groups", "there"),
    [
        # cgroups(7): the newer alone, beside the older, the older alone; and below a container's
        (f"0::{SCOPE}\n", True),
        (f"9:pids:{SCOPE}\n1:name=systemd:{SCOPE}\n0::{SCOPE}\n", True),
        (f"9:pids:/user.slice\n1:name=systemd:{SCOPE}\n", True),
        (f"0::/machine.slice/host/payload{SCOPE}\n", True),
        ("0::/user.slice/user-1000.slice/session-121.scope\n", False),
        ("0::/system.slice/ssh.service\n", False),
        ("", False),
    ],
)
def test_who_is_at_work_in_each_layout_of_cgroups(tmp_path, groups, there):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(f"ada:x:{os.getuid()}:1::/:/bin/sh\n")
    program = tmp_path / "proc/77"
    program.mkdir(parents=True)
    (program / "comm").write_text("bash\n")
    (program / "cgroup").write_text(groups)
    session = Session("12", "ada", "sshd", "198.51.100.7", 12.5)
    assert at_work(HostReader(tmp_path), session) is there
