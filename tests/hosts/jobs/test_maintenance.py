"""A maintenance: refused under a job, waits for one, moves what is held, and proves the host."""

from __future__ import annotations

import json
import signal

import pytest

from tests.hosts.jobs.jobbing import (
    UNIT,
    finish,
    give,
    listed,
    running,
    started,
    unit_started,
)
from tests.hosts.managing import history, manage, refused, rests, untouched
from tests.hosts.programs import in_background, talking, wait_until


pytestmark = pytest.mark.share("job-runner")
MANAGE = "/srv/backend-server/test/manage.sh"
OTHERS = "docker.io containerd runc"
NOTICES = "/var/lib/opensafely/notices"
# Nothing of docker's is in it, but it goes by a name that is held where it is installed.
DUMMY = "docker-cli"
REPO = "/root/repo"
# Flat, and of this host's own making.
PUBLISH = f"""
set -e
mkdir -p {REPO}/$1/DEBIAN && cd {REPO}
cat > $1/DEBIAN/control <<END
Package: {DUMMY}
Version: $1
Architecture: all
Maintainer: nobody <root@localhost>
Description: nothing
END
printf '#!/bin/sh\\n%s\\n' "$2" > $1/DEBIAN/postinst
chmod 755 $1/DEBIAN $1/DEBIAN/postinst
dpkg-deb --root-owner-group --build $1 $1.deb >/dev/null
{{ cat $1/DEBIAN/control
echo "Filename: ./$1.deb"
echo "Size: $(stat -c %s $1.deb)"
echo "SHA256: $(sha256sum $1.deb | cut -d' ' -f1)"
echo; }} > Packages
echo 'deb [trusted=yes] file:{REPO} ./' > /etc/apt/sources.list.d/contract.list
apt-get -qq update
"""


@pytest.fixture(scope="module")
def host(shared_warm_host):
    host = shared_warm_host("test", legacy_cgroups=True)
    publish(host, "1.0")
    host.run(f"apt-get -qq install {DUMMY}")
    assert manage(host).returncode == 0
    assert DUMMY in held(host)
    return host


def publish(host, version, postinst="exit 0"):
    host.run(f"bash -s {version} '{postinst}'", stdin=PUBLISH)


def held(host):
    return host.run("apt-mark showhold").stdout.split()


def version(host):
    return host.run(f"dpkg-query -W -f '${{Version}}' {DUMMY}").stdout


def test_refused_under_a_job(host, controller):
    with running(host, controller) as job:
        with untouched(host):
            refused(
                manage(host, "host maintenance"),
                job.id,
                "nothing was touched",
                "--wait 2h",
            )
        assert started(host, job)
        assert host.run(f"systemctl is-active {UNIT}").stdout == "active\n"
        finish(host, controller, job)


def test_ctrl_c_while_it_waits_leaves_all_as_it_was(host, controller):
    with running(host, controller) as job:
        before = started(host, job), unit_started(host)
        with in_background(host, MANAGE, "host", "maintenance", "--wait", "1h") as run:
            said = [run.line(), run.line()]
            assert said[0].startswith(f"running   {job.id}")
            assert "prepare_for_reboot --backend test" in said[1]
            assert f"waiting for {job.id}" in run.line()
            # Runs by others do not wait for jobs.
            assert manage(host).returncode == 0
            refused(manage(host, "host maintenance"), "another run is under way")
            host.run(f"kill -{signal.SIGINT.value} {run.pid}")
            assert "stopped" in run.end()
        assert (started(host, job), unit_started(host)) == before
        finish(host, controller, job)


def test_waits_then_moves_what_is_held_and_proves_the_host(host, controller):
    """Jobs that come meanwhile wait on the controller, and run afterwards."""
    publish(host, "1.1")
    assert manage(host, "host tidy").returncode == 0
    (waiting,) = json.loads(manage(host, "status --json").stdout)["updates"]
    assert (waiting["package"], waiting["candidate"]) == (DUMMY, "1.1")
    host.run(
        "mkdir -p /var/lib/opensafely/pending; echo $(cat "
        "/proc/sys/kernel/random/boot_id) now x >/var/lib/opensafely/pending/docker.service"
    )
    began = host.run("systemctl show -p ActiveEnterTimestampMonotonic docker").stdout
    maintenance = (MANAGE, "host", "maintenance", "--wait", "1h")
    with running(host, controller) as job, in_background(host, *maintenance) as run:
        while "waiting for" not in run.line():
            pass
        assert version(host) == "1.0"
        results = finish(host, controller, job)
        rest = run.end(300)
        assert run.process.returncode == 0, rest
    assert results["exit_code"] == 0
    for what in (
        "lists",
        "held",
        "packages",
        "docker",
        "service jobrunner",
        "network",
        "job",
    ):
        assert f"ok        {what:<10} " in rest, rest
    assert "1 upgraded" in rest
    assert version(host) == "1.1"
    assert DUMMY in held(host)
    assert {"docker.io", "runc"} <= {*held(host)}
    assert (
        host.run("systemctl show -p ActiveEnterTimestampMonotonic docker").stdout
        != began
    )
    assert host.run("ls /var/lib/opensafely/pending").stdout == ""
    assert host.run(f"systemctl is-active {UNIT}").stdout == "active\n"
    assert history(host)[-1]["event"] == "host maintenance"
    assert history(host)[-1]["subject"] == "ended"
    with running(host, controller) as job:
        assert finish(host, controller, job)["exit_code"] == 0
    assert rests(host)


@pytest.mark.parametrize(
    "moment", ["postinst", pytest.param("start", marks=pytest.mark.long)]
)
def test_killed_in_the_middle(host, moment):
    """What is held stays held, the agent runs again at once, and the next one heals the package."""
    publish(host, "1.2" if moment == "postinst" else "1.3", "sleep 4")
    with in_background(host, MANAGE, "host", "maintenance"):
        if moment == "postinst":
            wait_until(
                lambda: "sleep 4" in host.run("ps -eo args").stdout, timeout_s=60
            )
        else:
            wait_until(
                lambda: host.run(f"systemctl is-active {UNIT}", check=False).returncode
            )
        # The one that shows it, the one that works, and what that has started.
        apt = "$(pgrep -f '[e]ntry.py .* test host maintenance|[a]pt-get|[d]pkg')"
        host.run(f"for p in {apt}; do kill -9 $p; done", check=False)
    wait_until(lambda: {DUMMY, "docker.io", "runc"} <= {*held(host)})
    wait_until(lambda: history(host)[-1].get("event") == "undo", timeout_s=60)
    wait_until(
        lambda: not host.run(f"systemctl is-active {UNIT}", check=False).returncode
    )
    assert "host maintenance by root, since " in host.read(NOTICES).splitlines()[-1]
    done = manage(host, "host maintenance --json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {r["outcome"] for r in json.loads(done.stdout)["results"]} == {"ok"}
    assert (
        host.run(f"dpkg-query -W -f '${{Status}}' {DUMMY}").stdout
        == "hold ok installed"
    )
    assert host.run(f"systemctl is-active {UNIT}").stdout == "active\n"
    assert rests(host)


@pytest.mark.long
@pytest.mark.share("outputs")
def test_a_line_that_is_cut_changes_nothing(host):
    """The maintenance ends as if somebody had looked on, and developers read of it."""
    events = len(history(host))
    argv = host.ssh_argv("ada", host.people["ada"].key, "sudo backend host maintenance")
    with talking([argv[0], "-tt", *argv[1:]]) as terminal:
        terminal.until("prepare_for_reboot")
        terminal.process.kill()
        terminal.process.wait()
    wait_until(lambda: history(host)[-1].get("subject") == "ended", timeout_s=300)
    assert [line["who"] for line in history(host)[events:]] == ["ada", "ada"]
    assert {r["outcome"] for r in history(host)[-1]["results"]} == {"ok"}
    assert host.run(f"systemctl is-active {UNIT}").stdout == "active\n"
    assert "host maintenance by ada ended" in host.read(NOTICES)


@pytest.mark.long
def test_archive_down(host, lab):
    """What cannot be fetched is said; the agent runs again, and the proofs are still made."""
    lab.archive_down()
    try:
        done = manage(host, "host maintenance")
    finally:
        lab.archive_up()
    assert done.returncode == 1
    assert "failed    lists      the package lists could not be fetched" in done.stdout
    assert "ok        job        " in done.stdout
    assert host.run(f"systemctl is-active {UNIT}").stdout == "active\n"


@pytest.mark.parametrize(
    ("broken", "what", "said"),
    [
        ("nft delete table inet opensafely", "network", "is not shut"),
        ("sysctl -qw net.ipv4.ip_forward=0", "network", "net.ipv4.ip_forward is 0"),
        (
            f"systemctl mask --runtime --now {UNIT}",
            "service jobrunner",
            "did not stay up",
        ),
    ],
)
def test_proofs_fail_where_they_should(host, broken, what, said):
    """Each beside those that hold."""
    host.run(broken)
    try:
        done = manage(host, "host prove --json")
    finally:
        host.run(f"systemctl unmask --runtime {UNIT}")
        assert manage(host).returncode == 0
    assert done.returncode == 1, done.stdout
    results = {r["what"]: r for r in json.loads(done.stdout)["results"]}
    assert {w for w, r in results.items() if r["outcome"] == "failed"} == {what}
    assert said in results[what]["says"]
    assert listed(host) == {}
    assert host.run("docker ps -aq --filter label=opensafely-canary").stdout == ""
    assert manage(host, "host prove").returncode == 0


def test_with_a_reboot(host, controller):
    """The host proves itself when it is up again, and writes down what came of it."""
    publish(host, "1.4")
    before = host.boot_id
    done = manage(host, "host maintenance --reboot")
    host.wait()
    assert host.boot_id != before, done.stdout + done.stderr
    assert version(host) == "1.4"
    assert DUMMY in held(host)
    wait_until(lambda: history(host)[-1].get("subject") == "proved", timeout_s=120)
    line = history(host)[-1]
    assert {r["outcome"] for r in line["results"]} == {"ok"}
    assert {r["what"] for r in line["results"]} >= {
        "network",
        "job",
        "service jobrunner",
    }
    assert host.run("ls /var/lib/opensafely/prove-at-boot", check=False).returncode
    job = give(controller)
    wait_until(lambda: started(host, job), timeout_s=120)
    assert finish(host, controller, job)["exit_code"] == 0
    host.reboot()
    wait_until(lambda: condition(host, "TimestampMonotonic") != "0")
    assert condition(host, "Result") == "no"  # an ordinary boot proves nothing
    assert history(host)[-1] == line
    assert rests(host)


def condition(host, what):
    """What came of the conditions of the unit that proves after a boot, or when: 0, not yet."""
    show = f"systemctl show --value -p Condition{what} opensafely-proofs"
    return host.run(show).stdout.strip()
