"""The agent on bad days: killed half-way, on a full disk, beside another, and slow to hear."""

from __future__ import annotations

import json
import re
import time

import pytest

from sandbox import fixtures
from sandbox.answer import Answer
from sandbox.outside import CONTROLLER
from tests.hosts.jobs import jobbing
from tests.hosts.managing import CHECKOUT, manage, refused
from tests.hosts.programs import in_background, wait_until
from tests.hosts.services.running import (
    LOCAL,
    NAME,
    UNIT,
    inspected,
    listed,
    polls_again,
    starts_anew_quickly,
)


pytestmark = [pytest.mark.share("agent"), pytest.mark.one_of("agent", "bad days")]
HIGH = "/srv/high_privacy"
WORKDIR = "/var/lib/opensafely/jobrunner"
SIZE = 300 << 20  # in no time, and yet not at once
BACKEND_FILE = "/etc/opensafely/backend"
WRITE = f"open('a.dat', 'w').truncate({SIZE})"
OUTPUTS = {"a.dat": "highly_sensitive"}


@pytest.fixture(scope="module")
def host(shared_warm_host):
    host = shared_warm_host("test", shape=[fixtures.hurried], legacy_cgroups=True)
    starts_anew_quickly(host)
    return host


def killed_at(host, sign, meanwhile):
    """The agent is, once there is such a file; and what it had been at is done by the next."""
    kill = f"until ls {sign} 2>/dev/null; do :; done; docker kill -s KILL {NAME}"
    with in_background(host, "timeout", "60", "sh", "-c", kill) as killing:
        before = inspected(host)["State"]["Pid"]
        meanwhile()
        assert NAME in killing.end()
    wait_until(lambda: inspected(host)["State"]["Pid"] not in (0, before))


def whole_or_absent(host, path):
    size = host.run(f"stat -c %s {path}", check=False).stdout.strip()
    assert size in ("", str(SIZE))


def test_killed_while_it_prepares(host, controller):
    """What a job reads is there whole before the job begins."""
    there = f"{HIGH}/workspaces/w1"
    host.run(f"install -d -o opensafely {there}; truncate -s {SIZE} {there}/in.dat")
    read = f"import os; assert os.path.getsize('in.dat') == {SIZE}"
    given = []

    def give():
        given.append(
            controller.add("test", "-c", read, inputs=["in.dat"], workspace="w1")
        )

    killed_at(host, f"{HIGH}/volumes/*/in.dat.*.tmp", give)
    (job,) = given
    results = controller.wait(job.task)["results"]
    assert results["exit_code"] == 0
    assert controller.stages(job.task)[0] == "preparing"


def test_killed_while_it_copies_outputs(host, controller):
    """Nobody sees half of one; and all are there in the end, which `job list` says."""
    target = f"{HIGH}/workspaces/w2/a.dat"
    given = []

    def give():
        job = controller.add("test", "-c", WRITE, outputs=OUTPUTS, workspace="w2")
        given.append(job)

    killed_at(host, f"{target}.*.tmp", give)
    whole_or_absent(host, target)
    (job,) = given
    assert controller.wait(job.task)["results"]["exit_code"] == 0
    assert host.run(f"stat -c %s {target}").stdout.strip() == str(SIZE)
    ended = manage(host, "job list --since 1h").stdout
    assert job.id in ended


def test_a_disk_that_is_full(host, controller):
    """Killed meanwhile or not: the job errs, which is told, and ends well once there is room."""
    there = f"{HIGH}/workspaces/w3"
    host.run(f"mkdir -p {there}; mount -t tmpfs -o size=1m,uid=10000 full {there}")
    try:
        job = controller.add("test", "-c", WRITE, outputs=OUTPUTS, workspace="w3")
        wait_until(lambda: listed(host)["erring"], timeout_s=60)
        (found,) = listed(host)["erring"]
        assert found["job"] == job.id
        assert "No space left on device" in found["error"]
        host.run(f"docker kill -s KILL {NAME}", check=False)
        whole_or_absent(host, f"{there}/a.dat")
        wait_until(lambda: jobbing.listed(host)[job.id]["state"] == "erring")
        host.run(f"mount -o remount,size=1g {there}")
        assert controller.wait(job.task)["results"]["exit_code"] == 0
        assert host.run(f"stat -c %s {there}/a.dat").stdout.strip() == str(SIZE)
    finally:
        wait_until(lambda: host.run(f"umount {there}", check=False).returncode == 0)


def test_half_of_what_it_keeps_of_a_job(host, controller):
    """As a kill in the midst of it leaves it: told, with the error, until the file is gone."""
    with jobbing.running(host, controller, workspace="w4") as job:
        month = "$(date -u +%Y-%m)"
        log = f"{HIGH}/logs/{month}/{job.container}"
        host.run(f"install -d -o opensafely {log}; echo '{{' > {log}/metadata.json")
        wait_until(lambda: "JSONDecodeError" in str(listed(host)["erring"]), 60)
        assert manage(host, "job list --since 1h").returncode == 0
        host.run(f"rm {log}/metadata.json")
        assert jobbing.finish(host, controller, job)["exit_code"] == 0
        jobbing.complete(host, job)


def test_a_job_that_takes_more_memory_than_it_may(host, controller):
    """The kernel kills it, and `job list` says so, not only that it failed."""
    grow = "a = b'x' * (400 << 20)"
    job = controller.add("test", "-c", grow, memory_limit="64m", workspace="w6")
    assert controller.wait(job.task)["results"]["exit_code"] == 137
    said = manage(host, "job list --since 1h").stdout.partition(job.id)[2]
    assert "memory ran out; exit 137" in said.partition("os-job-")[0][:400], said


def test_another_agent_on_this_host(host):
    """By whatever name: who has docker's socket takes jobs, or ends ours."""
    sentence = "container other of"
    assert sentence not in manage(host, "status").stdout
    image = inspected(host)["Config"]["Image"]
    socket = "-v /var/run/docker.sock:/var/run/docker.sock"
    host.run(f"docker run -d --name other {socket} --entrypoint sleep {image} 600")
    try:
        done = manage(host, "status")
        assert (done.returncode, sentence in done.stdout) == (4, True)
        assert "another agent takes jobs of this backend" in done.stdout
    finally:
        host.run("docker rm --force other")
    assert sentence not in manage(host, "status").stdout


def test_a_host_with_another_agent_becomes_no_backend_before_that_is_stopped(host):
    """As today's backends are: it comes back by itself; and what else starts containers is named."""
    image = inspected(host)["Config"]["Image"]
    often = "--restart=unless-stopped --entrypoint sleep"
    socket = "-v /var/run/docker.sock:/var/run/docker.sock"
    host.run(f"docker run -d --name agent {socket} {often} {image} 600")
    host.run(f"docker run -d --name web -p 8000:8000 {often} {image} 600")
    unit = "/etc/systemd/system/collector.service"
    host.write(unit, "[Service]\nExecStart=docker run other\n")
    host.run(f"mv {BACKEND_FILE} /root/backend")
    try:
        done = manage(host, "plan")
        assert done.returncode == 3, done.stdout + done.stderr
        for said in (
            "container agent of",
            "it publishes ports, starts again by itself; docker rm --force web",
            "collector.service changes this host beside us, or starts containers",
        ):
            assert said in done.stdout
        said = "another agent would take jobs beside ours: agent"
        refused(manage(host, "--yes"), said, "try: docker stop agent\n")
        assert not host.run(f"ls {BACKEND_FILE}", check=False).stdout
        host.run("docker stop agent")
        done = manage(host, "--yes")
        assert done.returncode == 4, done.stdout + done.stderr
        assert "container agent" not in done.stdout
    finally:
        host.run(f"docker rm --force agent web; rm {unit}")
    host.run(f"rm /root/backend; ls {BACKEND_FILE}")
    assert "foreign" not in manage(host, "status").stdout


def test_a_controller_that_is_slow_by_a_byte_a_second(host, outside):
    """A word now and then is no answer: that it has none is told, and since when."""
    polls_again(host, outside)
    body = json.dumps({"tasks": []}).encode()
    slow = Answer(body + b" " * 600, pause_s=1)
    outside.answer(CONTROLLER, "*", slow)
    wait_until(lambda: listed(host)["silent_since"], timeout_s=60)
    done = manage(host, "status")
    assert done.returncode == 4
    assert "has had no answer from the controller since" in done.stdout
    outside.reset()
    assert manage(host, "service restart jobrunner").returncode == 0
    wait_until(lambda: listed(host)["last_poll"], timeout_s=30)
    assert listed(host)["silent_since"] is None


def recent(when):
    now = time.gmtime(time.time() - 10)
    return (when or "") >= time.strftime("%Y-%m-%dT%H:%M:%SZ", now)


def test_a_controller_that_hangs_up_after_each_answer(host, outside):
    """No connection is there to tell by, and when it last had an answer is told nonetheless."""
    polls_again(host, outside)
    headers = {"Content-Type": "application/json", "Connection": "close"}
    outside.answer(CONTROLLER, "*", Answer(b'{"tasks": []}', headers=headers))
    first = inspected(host)["State"]["Pid"]
    connected = f"nsenter --net=/proc/{first}/ns/net ss -Htn state established"
    wait_until(lambda: not host.run(connected).stdout)
    wait_until(lambda: recent(listed(host)["last_poll"]), timeout_s=60)
    for _ in range(8):
        assert recent(listed(host)["last_poll"])
    assert inspected(host)["State"]["Pid"] == first
    assert listed(host)["silent_since"] is None


def test_an_agent_that_asks_nobody(host, outside, job_runner):
    """It is up, and that is no sign that it works."""
    before, local = listed(host)["digest"], host.read(LOCAL)
    host.run(f"cat > {LOCAL}", stdin=f"{local}STATS_POLL_INTERVAL=5\n")
    update = f"service update jobrunner --to {job_runner['idle']} --yes"
    assert manage(host, update).returncode == 0

    def hangs():
        # While it is up no longer than agents before it were, it is restarting by what they did.
        found = listed(host)
        return found["silent_since"] and found["state"] == "running"

    try:
        wait_until(hangs, timeout_s=120)
        assert listed(host)["last_poll"] is None
        done = manage(host, "status")
        assert done.returncode == 4
        assert "has had no answer from the controller since" in done.stdout
    finally:
        host.run(f"cat > {LOCAL}", stdin=local)
        assert manage(host, "service rollback jobrunner --yes").returncode == 0
    assert listed(host)["digest"] == before
    polls_again(host, outside)


# The tool with a clock of its own, so many seconds off: the machine's is not ours to set.
SHIFTED = """
import runpy, sys, time
real, off_s = time.time, float(sys.argv[1])
time.time = lambda: real() + off_s
sys.argv = ["entry.py", "{0}", "test", *sys.argv[2:]]
sys.path.insert(0, "{0}")
runpy.run_path("{0}/backend_server/entry.py", run_name="__main__")
"""


def shifted(host, off_s, words):
    argv = f"/usr/bin/python3 -I -S - {off_s} {words}"
    return host.run(argv, stdin=SHIFTED.format(CHECKOUT), check=False)


@pytest.mark.parametrize("off_s", [3600, -3600])
def test_a_clock_that_is_an_hour_off(host, controller, off_s):
    """Set a moment ago, it makes all that the journal and files say another hour's."""
    made = int(time.time()) - off_s
    job = controller.add("test", "-c", "pass", created_at=made)
    assert controller.wait(job.task)["results"]["exit_code"] == 0
    assert job.id in manage(host, "job list --since 3h").stdout
    wait_until(lambda: listed(host)["last_poll"], timeout_s=60)
    said = shifted(host, off_s, "service list --json").stdout
    found, *_ = json.loads(said)["services"]
    assert (found["state"], found["silent_since"]) == ("running", None)
    assert json.loads(said)["degraded"] == []


@pytest.mark.parametrize("off_s", [3600, -300, 86400 * 3])
def test_the_time_that_others_have(host, outside, off_s):
    """By GitHub's answers, while it is off. Set right, it is told no more."""
    outside.know(host.address, host.people)
    way = "ahead of" if off_s > 0 else "behind"
    shifted(host, off_s, "people narrow")
    done = shifted(host, off_s, "status")
    assert done.returncode == 4
    (line,) = [each for each in done.stdout.splitlines() if "GitHub's" in each]
    assert re.search(rf"the clock is .* {way} GitHub's; try: date --set=", line)
    told_s = int(re.search(r"--set='(-?\d+) seconds'", line)[1])
    assert told_s == pytest.approx(-off_s, abs=10)
    # What it would be set to; the machine's clock is not ours to set.
    mends = line.partition("; try: ")[2].partition(";")[0]
    mends = mends.replace("--set", "+%s --date")
    then = int(host.run(mends).stdout) + off_s
    assert then == pytest.approx(time.time(), abs=10)
    assert "GitHub's" in shifted(host, off_s, "plan").stdout
    assert "GitHub's" not in manage(host, "status").stdout
    assert manage(host, "people narrow").returncode == 0
    assert "GitHub's" not in shifted(host, off_s, "status").stdout


FAKETIME = "/usr/lib/*/faketime/libfaketimeMT.so.1"


def test_a_clock_by_which_no_certificate_holds(host, outside):
    """Years ahead, here for the agent alone: it trusts nobody, and what to look at is told."""
    local = host.read(LOCAL)
    host.run(f"apt-get -qq install faketime; cp {FAKETIME} {WORKDIR}/off.so")
    off = "LD_PRELOAD=/workdir/off.so\nFAKETIME=+9000d\n"
    host.run(f"cat > {LOCAL}", stdin=local + off)
    try:
        host.run(f"systemctl restart {UNIT}")
        wait_until(lambda: listed(host)["restarts"] >= 3, timeout_s=90)
        done = manage(host, "status")
        assert done.returncode == 4
        assert "it said: ssl.SSLCertVerificationError: " in done.stdout
        assert "jobrunner trusts none by this host's clock, 20" in done.stdout
    finally:
        host.run(f"cat > {LOCAL}; systemctl restart {UNIT}", stdin=local)
    polls_again(host, outside)
    wait_until(lambda: listed(host)["state"] == "running", timeout_s=60)
    assert "this host's clock" not in manage(host, "status").stdout
