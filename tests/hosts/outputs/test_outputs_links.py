"""A server over the wire that exchanges its folders for links while pushes run.

Whether the client shows such a link is its kernel's and the server's business: a push is within the share.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

import pytest

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


@pytest.fixture(scope="module", params=["yes", "no"])
def share(request, sandbox):
    """Samba that follows links on its own side, or tells its client that there is one."""
    with Share(sandbox.lab, SHARE, "Level4Files") as made:
        made.stop()
        with made.settings.open("a") as settings:
            settings.write(f"    follow symlinks = {request.param}\n")
        made.start()
        yield made


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


def test_nothing_of_this_host_is_written(host, share):
    host.run("mkdir -p /root/away/in && echo canary >/root/away/in/a.csv")
    before = host.run(LOOK).stdout
    lay(host, "linked", {"in/a.csv": 100})
    pushes(host)
    for name in ("linked", "linked/in", ".opensafely-incoming"):
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
