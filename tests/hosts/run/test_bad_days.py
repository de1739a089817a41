"""What is missing, held or full: a run waits or says so, does the rest, and the next mends it."""

from __future__ import annotations

import json
import re
import time

import pytest

from sandbox.outside import ARCHIVES
from tests.hosts.managing import edited, manage, missed, refused, rests
from tests.hosts.programs import in_background, wait_until


# What cannot be done without packages, with all that needs them.
AFTER_PACKAGES = {
    *("packages", "updates", "sudo", "storage", "firewall", "docker", "jobrunner"),
    *("tidy", "logs", "limits", "airlock"),
}


HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "a")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""
LOCK = "/var/lib/dpkg/lock-frontend"
# Removed by hand, so that there is something to fetch and install.
SOMETHING_TO_FETCH = (
    "apt-get -qq remove tree && apt-get clean && rm -rf /var/cache/apt/archives/*.deb "
    "/var/lib/apt/lists/*_InRelease && rm /etc/profile.d/opensafely.sh"
)


@pytest.fixture(scope="module")
def host(shared_warm_host):
    return shared_warm_host("test")


def test_dpkg_lock_held(host):
    """The run waits and says for whom; a second run is told who is first, and since when."""
    host.run("apt-get -qq remove tree")
    began = time.monotonic()
    with in_background(host, "python3", "-c", HOLD, LOCK, "20") as holder:
        assert holder.line() == "held\n"
        with in_background(host, "/srv/backend-server/test/manage.sh") as first:
            said = first.line()
            while said and "waiting" not in said:
                said = first.line()
            assert f"for python3 (pid {holder.pid}), which holds {LOCK}" in said
            second = manage(host)
            first_run = f"another run is under way: root with pid {first.pid}, since 2"
            refused(second, first_run, "wait for it to end")
            assert manage(host, "status").returncode == 0
            rest = first.end()
            assert first.process.returncode == 0, rest
    assert time.monotonic() - began > 19
    assert host.run("tree --version").returncode == 0
    assert rests(host)


def test_no_network_and_nothing_to_fetch(host):
    host.unplug()
    try:
        assert rests(host, words="--offline")
        done = manage(host)
        assert done.returncode == 4
        assert "degraded: the keys of ada, grace, gus, rita at GitHub" in done.stdout
        plan = manage(host, "plan")
        assert plan.returncode == 4
        assert plan.stdout.count("does not answer") == 4
    finally:
        host.plug()


def test_no_network_and_something_to_fetch(host):
    host.run(SOMETHING_TO_FETCH)
    host.unplug()
    try:
        done = manage(host, "--json")
    finally:
        host.plug()
    assert done.returncode == 1
    first, *rest = missed(done)
    assert first["component"] == "packages"
    assert "_dists_" not in first["error"]
    assert re.search(r"http\S+", first["error"]), first["error"]
    assert {found["outcome"] for found in rest} <= {"not reached"}
    assert {found["component"] for found in rest} <= AFTER_PACKAGES
    assert host.run("test -e /etc/profile.d/opensafely.sh").returncode == 0
    assert manage(host).returncode == 0
    assert rests(host)


def test_mirror_down(shared_warm_host, outside):
    host = shared_warm_host("emis")
    host.run(SOMETHING_TO_FETCH)
    outside.stop(ARCHIVES)
    done = manage(host, "--json", backend="emis")
    assert done.returncode == 1
    first, *_ = missed(done)
    assert first["component"] == "packages"
    assert "https://archive-ubuntu.opensafely.org/" in first["error"]
    missing = {found["component"] for found in missed(done)}
    assert missing == AFTER_PACKAGES | {"desktop", "window"}
    outside.start()
    assert manage(host, backend="emis").returncode == 0
    assert rests(host, "emis")


def test_bare_host_without_an_archive(bare_host, lab):
    """First no Python can be had, then no package; once all is back, one run mends it."""
    host = bare_host("bookworm")
    lab.archive_down()
    try:
        done = manage(host, "--yes")
        assert done.returncode == 1
        assert "python3 could not be installed" in done.stderr
        assert "http" in done.stderr
    finally:
        lab.archive_up()
    host.run(
        "apt-get -qq update && apt-get -qq install --no-install-recommends python3"
    )
    host.run("rm -rf /var/lib/apt/lists/*")
    host.unplug()
    try:
        done = manage(host, "--yes --json")
    finally:
        host.plug()
    assert done.returncode == 1
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert sum("does not answer" in line for line in found["degraded"]) == 4
    assert {part["component"] for part in missed(done)} == AFTER_PACKAGES
    assert re.search(r"http\S+", missed(done)[0]["error"])
    assert host.run("id ada && sysctl net.ipv4.conf.all.send_redirects").returncode == 0
    assert host.run("su -l ada -c umask").stdout == "0027\n"
    assert manage(host).returncode == 0
    assert rests(host)


def test_endpoint_that_does_not_answer_on_the_first_run(host, outside):
    host.run("mv /etc/opensafely/backend /root/")  # so that this run is the first again
    outside.stop()
    done = manage(host, "--yes")
    assert done.returncode == 4
    line = r"degraded: jobs\.opensafely\.org \(157\.245\.31\.108\) port 443 does not answer"
    assert re.search(line, done.stdout)
    outside.start()
    # The agent ended often meanwhile, and has to run for a while before it counts as up.
    wait_until(lambda: manage(host).returncode == 0, timeout_s=300)
    assert rests(host)
    host.run("rm /root/backend")


def test_questions_of_packages_are_never_asked(host):
    """debconf, a conffile changed by hand, and needrestart: nobody is there to answer."""
    host.run("DEBIAN_FRONTEND=noninteractive apt-get -qq install needrestart")
    host.run(
        "echo '# by hand' >> /etc/default/cron && rm -f /var/lib/apt/lists/*_InRelease"
    )
    host.run("echo '# by hand' >> /etc/needrestart/needrestart.conf")
    host.run("dpkg --force-depends --remove cron tzdata")
    with edited(
        host, "/srv/backend-server/packages/extra.txt", "keyboard-configuration\n"
    ):
        began = time.monotonic()
        done = manage(host)
        assert done.returncode == 0, done.stdout + done.stderr
        assert time.monotonic() - began < 120
    assert "# by hand" in host.read("/etc/default/cron")
    assert rests(host)
