"""A server over the wire that exchanges its folders for links while pushes run, or refers to another.

Whether the client shows such a link is its kernel's and the server's business: a push is within the share.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys

import pytest

from sandbox.command import run
from sandbox.outside import SHARE
from sandbox.share import PASSWORD, Share
from tests.contract.outputs.test_others import EXCHANGE
from tests.hosts.managing import manage
from tests.hosts.outputs.test_outputs import (
    BUSY,
    MOUNT,
    TIMER,
    UNIT,
    give_password,
    lay,
    outputs_there,
    pushes,
    text,
)


pytestmark = [pytest.mark.share("outputs"), pytest.mark.long]

LOOK = "find /root/away -printf '%p %s %T@\\n' | sort; cat /root/away/in/*"


# Another share, as of another server, to which links of this kind refer: msdfs in smb.conf(5).
# Samba looks for them as the account itself, which must come to that folder.
REFERS = """\
    msdfs root = yes
    valid users = root
[Other]
    path = {other}
    valid users = root
    read only = no
"""


@pytest.fixture(scope="module")
def share(request, sandbox):
    """Samba that follows links on its own side, shows none to its client, or refers it to `Other`."""
    with Share(sandbox.lab, SHARE, "Level4Files") as made:
        made.stop()
        how = f"    follow symlinks = {request.param}\n"
        if request.param == "refers":
            how = REFERS.format(other=other(made))
            other(made).mkdir()
            (made.folder / "users").write_text("root = opensafely\n")
            text = made.settings.read_text()
            made.settings.write_text(
                text.replace("]\n", "]\n    host msdfs = yes\n", 1)
            )
            argv = ("smbpasswd", "-c", made.settings, "-a", "-s", "root")
            run(*made.lab.inside(*argv), stdin=f"{PASSWORD}\n{PASSWORD}\n")
        with made.settings.open("a") as settings:
            settings.write(how)
        made.start()
        yield made


def other(share):
    return share.folder / "other"


@pytest.fixture
def host(guest, share):
    guest.run(f"systemctl stop {BUSY} {UNIT}.automount {UNIT}.mount", check=False)
    manage(guest, "--only outputs --offline", "tpp")
    guest.run(f"systemctl stop {TIMER}")
    give_password(guest, PASSWORD)
    return guest


@contextlib.contextmanager
def exchanging(share, name):
    """The folder NAME of the share is, every other moment, a link to this host's /root/away."""
    link, place = share.top / "link", share.top / "workspaces" / name
    link.symlink_to("/root/away")
    argv = [sys.executable, "-I", "-S", "-c", EXCHANGE, link, place]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as server:
        server.stdout.read(1)
        yield
        server.kill()
    if place.is_symlink():
        os.replace(place, f"{link}.old")
        link.rename(place)


@pytest.mark.parametrize("share", ["yes", "no"], indirect=True, scope="module")
def test_nothing_of_this_host_is_written(host, share):
    host.run("mkdir -p /root/away/in && echo canary >/root/away/in/a.csv")
    before = host.run(LOOK).stdout
    lay(host, "linked", {"in/a.csv": 100})
    pushes(host)
    (half,) = (share.top / "workspaces").glob(".opensafely-incoming-*")
    for name in ("linked", "linked/in", half.name):
        with exchanging(share, name):
            shown = host.run(f"ls -ld {MOUNT}/workspaces/{name}", check=False)
            print(shown.stdout, shown.stderr)
            for size in (200, 300):
                lay(host, "linked", {"in/a.csv": size, f"in/{size}.csv": 10})
                manage(host, "outputs push", "tpp")
        for left in share.top.glob("link*"):
            left.unlink()
        assert host.run(LOOK).stdout == before
    pushes(host)
    assert outputs_there(share, "linked")["in/a.csv"] == text("in/a.csv", 300)


@pytest.mark.parametrize("share", ["refers"], indirect=True, scope="module")
def test_what_refers_to_another_server_is_not_gone_through(host, share):
    """The client mounts that one there by itself: for a push it is another file system."""
    top, theirs = share.top / "workspaces", other(share)
    for path in ("a.csv", "in/a.csv", "0" * 64 + ".part"):
        (theirs / path).parent.mkdir(exist_ok=True)
        (theirs / path).write_text("theirs")
    before = sorted((p, p.stat().st_mtime) for p in theirs.rglob("*"))
    lay(host, "deep", {"a.csv": 10})
    pushes(host)
    for link in ("dfs", "deep/in"):
        (top / link).symlink_to(f"msdfs:{SHARE}\\Other")
    # As a client's option mfsymlinks(8) reads it, which is not among ours: a file.
    digest = hashlib.md5(b"/root/away").hexdigest()
    (top / "xsym").write_text(f"XSym\n0010\n{digest}\n/root/away\n".ljust(1067))
    assert host.run(f"cat {MOUNT}/workspaces/dfs/a.csv").stdout == "theirs"
    for name in ("dfs", "xsym", "zzz"):
        lay(host, name, {"a.csv": 10, "in/a.csv": 10})
    lay(host, "deep", {"a.csv": 20, "in/a.csv": 10})
    failed = {each["path"]: each["why"] for each in pushes(host, 1)["failed"]}
    away = "is reached through another file system on the share"
    assert failed["dfs/a.csv"] == failed["deep/in/a.csv"] == away
    assert failed["xsym/a.csv"] == "is reached through a link or a file on the share"
    assert outputs_there(share, "zzz")["a.csv"] == text("a.csv", 10)
    assert outputs_there(share, "deep")["a.csv"] == text("a.csv", 20)
    (half,) = top.glob(".opensafely-incoming-*")
    half.rename(share.top / "kept")
    half.symlink_to(f"msdfs:{SHARE}\\Other")
    lay(host, "zzz", {"a.csv": 30})
    assert not pushes(host, 1)["why"]
    assert outputs_there(share, "zzz")["a.csv"] == text("a.csv", 30)
    assert sorted((p, p.stat().st_mtime) for p in theirs.rglob("*")) == before
