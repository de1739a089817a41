"""Root runs no byte that somebody else can change: not by timer, `sudo backend` or by hand."""

from __future__ import annotations

import contextlib
import json

import pytest

from tests.hosts.doors import desk
from tests.hosts.managing import CHECKOUT, manage, refused, rests


pytestmark = pytest.mark.share("outputs")

TIMER = "opensafely-people.service"
OWNED = "/run/owned"
# Everything that once ran before the checkout was judged, and what runs after it.
SHELLS = f"{CHECKOUT}/scripts/bootstrap.sh"
PYTHON = f"{CHECKOUT}/backend_server/entry.py {CHECKOUT}/backend_server/cli/main.py"
MANAGE = f"{CHECKOUT}/test/manage.sh"


@pytest.fixture(scope="module")
def host(shared_warm_host):
    host = shared_warm_host("test")
    assert rests(host)
    return host


def next_turn(host):
    """Of the timers; at their last the checkout may have been a bad one, which `status` tells."""
    units = f"{TIMER} opensafely-modes.service"
    host.run(f"systemctl reset-failed {units}; systemctl start {units}")


@contextlib.contextmanager
def restored(host):
    host.run(f"cp -a {CHECKOUT} /root/kept")
    try:
        yield
    finally:
        host.run(f"rm -rf {CHECKOUT} && mv /root/kept {CHECKOUT} && rm -f {OWNED}")
        next_turn(host)


def edit(host, paths, who="root"):
    """WHO makes each of these files leave a mark when root runs it."""
    for path in paths.split():
        what = f'/^import os$/a open("{OWNED}", "w")'
        if not path.endswith(".py"):
            what = f"1a : >{OWNED}"
        host.run(f"runuser -u {who} -- sed -i '{what}' {path}")


def was_run(host):
    return host.run(f"test -e {OWNED}", check=False).returncode == 0


def test_what_root_wrote_is_run(host):
    """Or nothing below could fail."""
    with restored(host):
        edit(host, f"{CHECKOUT}/backend_server/cli/main.py")
        assert "backend     test" in host.run("backend status").stdout
        assert was_run(host)


def test_a_checkout_that_a_developer_may_pull(host):
    with restored(host):
        host.run(f"chown -R ada: {CHECKOUT}")
        edit(host, f"{MANAGE} {SHELLS} {PYTHON}", "ada")
        began = host.run("date +%s").stdout.strip()
        assert host.run(f"systemctl start {TIMER}", check=False).returncode != 0
        said = host.run(f"journalctl --unit={TIMER} --since=@{began} --output=cat")
        assert f"{CHECKOUT} can be changed by somebody other than root" in said.stdout
        done = host.run("runuser -u ada -- sudo -n backend status", check=False)
        refused(done, f"{CHECKOUT} can be changed by", f"cp -RT {CHECKOUT} ")
        found = json.loads(host.run("backend status --json", check=False).stdout)
        assert found["error"] in done.stderr
        assert not was_run(host)
        with desk(host, "ada", "bash -lc true") as terminal:
            terminal.end()
        assert f"refused to run: {CHECKOUT} can be" in terminal.seen
    assert rests(host)


def test_by_hand_only_manage_itself_comes_before_the_judge(host):
    with restored(host):
        edit(host, f"{SHELLS} {PYTHON}")
        host.run(f"chown ada: {SHELLS} {PYTHON}")
        refused(manage(host), "can be changed by somebody other than root")
        assert not was_run(host)


def test_a_pack_of_somebody_elses(host):
    with restored(host):
        git = f"git -C {CHECKOUT}"
        lost = host.run(f"echo lost | {git} hash-object -w --stdin").stdout.strip()
        host.run(f"chown -R ada: {CHECKOUT}/.git/objects/*")
        done = manage(host, "plan")
        refused(done, f"{CHECKOUT}/.git/objects/", f"cp -RT {CHECKOUT} ")
        host.run(done.stderr.partition("try: ")[2])
        assert manage(host, "plan").returncode == 0
        assert host.run(f"{git} cat-file -p {lost}").stdout == "lost\n"


def test_what_git_would_write_for_rita(host):
    with restored(host):
        host.run(f"setfacl -d -m u:rita:rwx {CHECKOUT}/test")
        done = host.run("backend status", check=False)
        refused(done, f"{CHECKOUT}/test can be changed by", f"cp -RT {CHECKOUT} ")
        host.run(f"rm -rf {CHECKOUT}.old")
        host.run(done.stderr.partition("try: ")[2])
        next_turn(host)
        assert host.run("backend status").returncode == 0


def test_a_checkout_in_tmp(host):
    host.run(f"cp -a {CHECKOUT} /tmp/backend-server")
    done = host.run("/tmp/backend-server/test/manage.sh plan", check=False)
    host.run("rm -rf /tmp/backend-server")
    refused(done, "/tmp, above /tmp/backend-server, can be changed by", "/srv/")


# What a run edits, or has other programs read; less what a Debian host has not.
EDITED = """/etc/docker/daemon.json /etc/opensafely/firewall.nft /etc/hosts /etc/pam.d/su
/etc/ssh/sshd_config.d/00-opensafely.conf /etc/pam.d/common-auth /etc/shadow"""


def test_files_that_root_goes_by_are_roots_again(host):
    """Who was an administrator once may have been given one, and would be root by it."""
    before = host.run(f"stat -c '%n %U %G %a' {EDITED.split()[0]} /etc/shadow").stdout
    host.run(f"chown ada {' '.join(EDITED.split()[:4])}")
    host.run(f"chmod o+w {' '.join(EDITED.split()[4:])}")
    planned = manage(host, "plan --offline")
    assert planned.returncode == 3, planned.stdout
    for path in EDITED.split():
        assert path in planned.stdout
    done = manage(host, "--offline --yes")
    assert done.returncode == 0, done.stdout + done.stderr
    found = host.run(f"stat -c '%U %A' {' '.join(EDITED.split())}").stdout
    assert all(line[:6] == "root -" and line[-2] == "-" for line in found.splitlines())
    after = host.run(f"stat -c '%n %U %G %a' {EDITED.split()[0]} /etc/shadow").stdout
    assert after == before
    assert rests(host)
