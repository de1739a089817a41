"""A job from the controller to its end, run by the sandbox's agent as the service of a host."""

from __future__ import annotations

import json
import subprocess
import time

import pytest

from sandbox import fixtures, work
from sandbox.controller import HIGH, MODERATE
from sandbox.errors import SandboxError


pytestmark = pytest.mark.share("job-runner")

AGENT = "opensafely-jobrunner.service"
SLEEP = ("-c", "import time; time.sleep(600)")
WRITES = """
import os
print("hello from", os.getuid())
for name in ("patients", "counts", "ids"):
    with open(name + ".csv", "w") as file:
        file.write("patient_id\\n1\\n" if name == "ids" else "n\\n1\\n")
"""
OUTPUTS = {"patients.csv": HIGH, "counts.csv": MODERATE, "ids.csv": MODERATE}


@pytest.fixture(scope="module")
def host(shared_warm_host):
    return shared_warm_host("test", shape=[fixtures.hurried], legacy_cgroups=True)


def inspect(host, job):
    return json.loads(host.run(f"docker inspect {job.container}").stdout)[0]


def over(host, controller, task):
    """What came of a task, once the agent has cleaned up after it and asked for more."""
    results = controller.wait(task)["results"]
    controller.wait_poll(address=host.address)
    return results


def mode(host, path):
    return host.run(f"stat -c '%u %a' {path}").stdout.strip()


def test_a_trial_ends_with_a_job(host, controller):
    said = work.do(host, controller, "test")
    assert "preparing, prepared, executing, executed, finalizing, finalized" in said
    for path in work.WANTED:
        assert path in said
    assert said.count("\n  opensafely:") == len(work.WANTED)


def test_a_trial_fails_where_the_job_does_not_end(host, controller):
    host.run(f"systemctl stop {AGENT}")
    try:
        with pytest.raises(SandboxError, match="nobody asked for work in 1 s"):
            work.do(host, controller, "test", patience_s=1)
    finally:
        host.run(f"systemctl start {AGENT}")


def test_outputs_lie_where_people_look_for_them(host, controller):
    job = controller.add("test", "-c", WRITES, outputs=OUTPUTS, workspace="w1")
    results = over(host, controller, job.task)
    assert results["exit_code"] == 0
    assert (
        results["has_unmatched_patterns"],
        results["has_level4_excluded_files"],
    ) == (
        False,
        True,
    )
    assert "patients.csv" not in str(results)
    high, medium = (
        f"/srv/{level}_privacy/workspaces/w1" for level in ("high", "medium")
    )
    find = host.run(
        f"cd {high} && find . -type f; cd {medium} && find . -type f"
    ).stdout
    log = "./metadata/generate.log"
    assert sorted(find.split()) == sorted(
        [
            *(log, "./patients.csv", "./counts.csv", "./ids.csv"),
            *(log, "./counts.csv", "./ids.csv.txt", "./metadata/manifest.json"),
        ]
    )
    # The agent sets no mode: that the group gets in is the storage's doing.
    assert mode(host, f"{high}/patients.csv") == "10000 660"
    assert mode(host, f"{medium}/counts.csv") == "10000 660"
    manifest = json.loads(host.read(f"{medium}/metadata/manifest.json"))
    assert manifest["outputs"]["ids.csv"]["message"] == "File has patient_id column"
    folder = host.run(f"ls -d /srv/high_privacy/logs/*/{job.container}").stdout.strip()
    assert "hello from 10000" in host.read(f"{folder}/logs.txt")
    metadata = host.read(f"{folder}/metadata.json")
    assert "OPENSAFELY_BACKEND=test" in metadata
    assert "SSL_CERT_FILE=xxxx" in metadata
    assert (
        host.run(f"ls -A /srv/high_privacy/volumes {folder}").stdout.count(job.id) == 1
    )
    assert job.container not in host.run("docker ps -a").stdout


def test_a_job_is_confined_and_outlives_its_agent(host, controller):
    job = controller.add("test", *SLEEP, workspace="w2", action="wait")
    controller.wait(job.task, "executing")
    found = inspect(host, job)
    labels = {
        "job-runner": "",
        "jobrunner-local": "",
        "workspace": "w2",
        "action": "wait",
    }
    assert labels.items() <= found["Config"]["Labels"].items()
    assert found["Config"]["User"] == "10000:10000"
    assert "HOME=/tmp" in found["Config"]["Env"]
    limits = found["HostConfig"]
    assert limits["CapDrop"] == ["ALL"]
    assert limits["SecurityOpt"] == ["no-new-privileges"]
    assert (limits["NetworkMode"], limits["Init"]) == ("none", True)
    assert (limits["NanoCpus"], limits["Memory"]) == (10**9, 256 << 20)
    assert limits["LogConfig"]["Type"] == "local"
    volume = f"/srv/high_privacy/volumes/{job.id}"
    assert [mount["Source"] for mount in found["Mounts"]] == [volume]
    assert host.run(f"cat {volume}/.opensafely-timestamp").stdout.isdigit()
    host.run(f"systemctl restart {AGENT}")
    controller.wait_poll(address=host.address)
    assert inspect(host, job)["State"]["StartedAt"] == found["State"]["StartedAt"]
    task = controller.cancel(job)
    results = over(host, controller, task)
    assert (results["cancelled"], results["exit_code"]) == (True, 137)
    assert host.run(f"ls {volume}", check=False).returncode != 0
    assert host.run("docker ps -q --filter label=job-runner").stdout == ""


def test_a_reboot_with_a_job_and_somebody_logged_in(host, controller):
    """No two minutes, as in a layout without cgroup2; and the agent goes on by itself."""
    job = controller.add("test", *SLEEP, workspace="w4")
    controller.wait(job.task, "executing")
    argv = host.ssh_argv("ada", host.people["ada"].key, "echo in; exec sleep 600")
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as session:
        assert session.stdout.readline() == b"in\n"
        began = time.monotonic()
        host.reboot()
        assert time.monotonic() - began < 60
        session.kill()
    assert over(host, controller, job.task)["exit_code"] != 0


def test_what_stops_a_job(host, controller):
    hungry = controller.add("test", "-c", "x = ' ' * (1 << 30)", memory_limit="64m")
    assert over(host, controller, hungry.task)["oom_killed"] is True


def test_an_image_that_is_not_there_ends_the_agent(host, controller):
    starts = f"systemctl show --value -p NRestarts {AGENT}"
    before = host.run(starts).stdout
    job = controller.add("test", *SLEEP, image_sha=f"sha256:{'0' * 64}")
    controller.wait(job.task, "preparing")
    since = controller.updates(job.task)[0]["timestamp_ns"] / 1e9
    controller.wait_poll(since + 1, host.address)
    assert controller.stages(job.task) == ["preparing"]
    assert host.run(starts).stdout != before
    controller.withdraw(job.task)
