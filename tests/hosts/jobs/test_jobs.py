"""Jobs: seen, read, entered, ended, and not disturbed by anything that happens around them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.hosts.jobs.jobbing import (
    UNIT,
    complete,
    finish,
    folder,
    listed,
    running,
    settled,
    started,
    status,
    unit_started,
)
from tests.hosts.managing import history, manage, refused, rests
from tests.hosts.programs import on_terminal, wait_until


pytestmark = pytest.mark.share("job-runner")
PYTHON = "docker-proxy.opensafely.org/opensafely-core/python"
AS_THEY_SHOULD = "-u 10000:10000 --cap-drop ALL --security-opt no-new-privileges"


@pytest.fixture(scope="module")
def host(shared_warm_host):
    return shared_warm_host("test", legacy_cgroups=True)


def test_a_job_is_seen_and_ends_well(host, controller):
    """Through controller and agent; a run meanwhile, and the agent's restart, change nothing."""
    assert manage(host, "job list").stdout == "no job is here\n"
    with running(host, controller, workspace="long-covid") as job:
        found = listed(host)[job.id]
        assert found["state"] == "running"
        assert found["workspace"] == "long-covid"
        assert (found["cpus"], found["memory"]) == (1, 256 << 20)
        assert (found["network"], found["unconfined"]) == ("none", [])
        assert found["image"].startswith(f"{PYTHON}@sha256:")
        assert status(host)["jobs"]["running"] == 1
        before = started(host, job), unit_started(host)
        host.run("rm /etc/profile.d/opensafely.sh")
        assert manage(host).returncode == 0
        assert rests(host)
        assert (started(host, job), unit_started(host)) == before
        host.run(f"systemctl restart {UNIT}")
        assert started(host, job) == before[0]
        results = finish(host, controller, job)
        assert results["exit_code"] == 0
        complete(host, job)
        wait_until(lambda: listed(host) == {})
        logs = manage(host, f"job logs {job.id[:6]}")
        assert "at work" in logs.stdout
        (found,) = ended(host)
        assert (found["id"], found["state"]) == (job.id, "ended")
        assert (found["workspace"], found["error"][:6]) == ("long-covid", "exit 0")
        assert manage(host, "job list").stdout == "no job is here\n"
        said = manage(host, f"job logs --agent {job.id[:6]}").stdout
        assert f"State change for job {job.id}: ExecutorState.EXECUTED" in said
        assert "loop started" not in said
        refused(
            manage(host, "job logs --agent zzz"),
            "jobrunner has said nothing of a job with 'zzz' in the id",
        )
        for words in ("kill", "rerun"):
            done = manage(host, f"job {words} {job.id[:6]} --yes")
            refused(done, f"wanted one that runs: {job.id} is ended")


def ended(host):
    """What `job list` says of jobs that ended in the last hour, the last one last."""
    found = json.loads(manage(host, "job list --since 1h --json").stdout)["jobs"]
    return [job for job in found if job["state"] == "ended"]


def test_what_a_job_says(host, controller):
    with running(host, controller) as job:
        assert manage(host, f"job logs {job.id[3:9]}").stdout == "at work\n"
        refused(
            manage(host, "job logs nothing"),
            "0 jobs with 'nothing' in the id",
            "sudo backend job list --since 2d",
        )
        refused(manage(host, f"job shell {job.id}"), "a shell needs a terminal")
        with on_terminal(host, f"{folder_of()} job shell {job.id}") as terminal:
            terminal.type("id -u; pwd; exit\n")
            terminal.end()
            assert "10000\n/workspace\n" in terminal.seen
        assert history(host)[-1]["event"] == "job shell"


def folder_of():
    return "/srv/backend-server/test/manage.sh"


def test_kill(host, controller):
    """Only with a yes; the agent reports it, and the host remembers who it was."""
    with running(host, controller) as job:
        refused(manage(host, f"job kill {job.id}"), "nobody is here to confirm")
        with on_terminal(host, f"{folder_of()} job kill {job.id}") as terminal:
            terminal.until("It loses what it has done so far, and ends as failed.")
            terminal.until("Type yes to kill: ")
            terminal.type("no\n")
            assert terminal.end() == 2
        assert started(host, job)
        done = manage(host, f"job kill {job.id[2:]} --yes")
        assert done.stdout == f"{job.id} is killed\n"
        assert controller.wait(job.task)["results"]["exit_code"] == 137
        line = history(host)[-1]
        assert (line["event"], line["subject"]) == ("job kill", job.id)
        refused(manage(host, f"job kill {job.id} --yes"), "0 jobs with")


def test_run_again(host, controller):
    """It begins anew with nothing of what it left, the controller hears of no end, and another goes on."""
    with running(host, controller) as other, running(host, controller) as job:
        before = started(host, job), started(host, other)
        host.run(f"touch {folder(job)}/left")
        with on_terminal(host, f"{folder_of()} job rerun {job.id}") as terminal:
            terminal.until("It loses what it has done so far, and begins anew.")
            terminal.until("Type yes to rerun: ")
            terminal.type("yes\n")
            assert terminal.end() == 0, terminal.seen
        wait_until(lambda: started(host, job) not in ("", before[0]), timeout_s=60)
        assert "left" not in host.run(f"ls {folder(job)}").stdout.split()
        line = history(host)[-1]
        assert (line["event"], line["subject"]) == ("job rerun", job.id)
        assert finish(host, controller, job)["exit_code"] == 0
        assert started(host, other) == before[1]


def test_several_at_once(host, controller):
    """None where one of them is not to be found."""
    with running(host, controller) as one, running(host, controller) as two:
        refused(manage(host, f"job kill {one.id} nothing --yes"), "0 jobs with")
        assert started(host, one)
        assert manage(host, f"job kill {one.id} {two.id} --yes").returncode == 0
        for job in (one, two):
            assert controller.wait(job.task)["results"]["exit_code"] == 137
            assert "exit 137, Job killed by OpenSAFELY admin" in str(ended(host))


def test_a_job_for_which_memory_ran_out(host, controller):
    job = controller.add("test", "-c", "x = b'x' * (3 << 30)", workspace="big")
    controller.wait(job.task, timeout_s=120)
    found = ended(host)[-1]
    assert (found["id"], found["workspace"]) == (job.id, "big")
    assert found["error"].startswith("memory ran out; exit 137")


def test_a_closer_look_as_the_playbook_has_it(host, controller, image):
    """Its lines as they stand there, but for what goes on until somebody ends it, and the real agent's own."""
    text = (Path(__file__).parents[3] / "docs/playbook.md").read_text()
    text = text.partition("### A closer look at jobs\n\n")[2].partition("\n\n")[0]
    lines = [line.strip().replace("sudo ", "") for line in text.splitlines()]
    tried = [
        each for each in lines if "kill_task" not in each and " -f" not in each[-3:]
    ]
    host.run("command -v strace || apt-get -qq install strace")
    with running(host, controller) as job:
        script = "\n".join(tried).replace("os-job-ID", job.container)
        script = script.replace(f"{PYTHON}@sha256:…", image).replace("strace -f", QUIT)
        done = host.run(script, check=False)
        assert job.container in done.stdout, done.stderr
        assert "Netid" in done.stdout
        assert f"{image}\n" in done.stdout
        assert "Failed" not in done.stderr
        trace = host.run("cat /root/strace.ID").stdout
        assert "go" in trace or "nanosleep" in trace
        assert finish(host, controller, job)["exit_code"] == 0


QUIT = "timeout --signal INT 3 strace -f"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (AS_THEY_SHOULD, None),
        (AS_THEY_SHOULD.replace("-u 10000:10000", ""), "runs as root"),
        (f"{AS_THEY_SHOULD} --network host", "is on network host"),
        (f"{AS_THEY_SHOULD} --privileged", "is privileged"),
        (f"{AS_THEY_SHOULD} --cap-add NET_ADMIN", "has capability NET_ADMIN"),
        (
            f"{AS_THEY_SHOULD} -v /run/docker.sock:/run/docker.sock",
            "sees /run/docker.sock",
        ),
        (f"{AS_THEY_SHOULD} -v /srv/medium_privacy:/x", "sees /srv/medium_privacy"),
        ("-u 10000 --security-opt no-new-privileges", "keeps capabilities"),
        ("-u 10000 --cap-drop ALL", "may gain privileges"),
    ],
)
def test_a_job_that_is_not_confined_is_called_out(host, image, options, why):
    """With one beside it that is as it should be."""
    network = "" if "--network" in options else "--network none"
    name = "-d --rm --label job-runner --name os-job-canary"
    host.run(f"docker run {name} {network} {options} {image} -c {SLEEP}")
    try:
        found = status(host, 4 if why else 0)
        said = manage(host, "job list").stdout
        assert found["unconfined"] == (["canary"] if why else [])
        if why:
            assert f"not confined: {why}" in said
            assert any(why in line for line in found["degraded"])
        else:
            assert "not confined" not in said
    finally:
        host.run("docker rm -f os-job-canary")


SLEEP = "'import time; time.sleep(600)'"


@pytest.fixture(scope="module")
def image(host, sandbox):
    name = f"{PYTHON}@{sandbox.images.digest('python', 'v2')}"
    host.run(f"docker pull -q {name}")
    return name


def test_jobs_without_a_container(host):
    """One whose files were just made ready will start; an old folder was left."""
    place = "/srv/high_privacy/volumes"
    host.run(
        f"cd {place} && mkdir fresh stale && touch fresh/.opensafely-timestamp && "
        "touch -d '2 days ago' stale/.opensafely-timestamp"
    )
    try:
        assert {each: job["state"] for each, job in listed(host).items()} == {
            "fresh": "prepared",
            "stale": "left over",
        }
        assert status(host)["jobs"]["prepared"] == 1
    finally:
        host.run(f"rm -r {place}/fresh {place}/stale")


def test_a_question_to_the_database_counts(host, image):
    """It has no label and no name of its own, and a restart of docker would end it."""
    args = "-d --rm --network jobrunner-db"
    name = host.run(f"docker run {args} {image} -c {SLEEP}").stdout.strip()
    try:
        (found,) = listed(host).values()
        assert (found["state"], found["network"]) == ("running", "jobrunner-db")
        assert found["action"] == "asks the database"
        done = manage(host, "host maintenance")
        refused(done, "1 job would be disturbed", "nothing was touched")
    finally:
        host.run(f"docker rm -f {name}")


def test_docker_restarted_by_hand(host, controller):
    """Live-restore: the job goes on as if nothing were, and the agent comes back to it."""
    with running(host, controller) as job:
        before = started(host, job)
        host.run("systemctl restart docker")
        assert started(host, job) == before
        results = finish(host, controller, job)
        assert results["exit_code"] == 0
        complete(host, job)


def test_docker_stopped(host, controller):
    """That is said, not hidden, and a job goes on meanwhile; nothing starts docker by asking."""
    with running(host, controller) as job:
        host.run("systemctl stop docker.socket docker")
        try:
            done = manage(host, "job list")
            assert done.returncode == 1
            assert (
                "docker does not answer, so which jobs run cannot be told"
                in done.stderr
            )
            found = status(host, 4)
            assert any("docker does not answer" in line for line in found["degraded"])
            assert host.run("systemctl is-active docker", check=False).returncode
            done = manage(host, "host tidy")
            assert done.returncode == 0
            assert "docker does not answer" in done.stdout
        finally:
            host.run("systemctl start docker")
        assert started(host, job)
        assert finish(host, controller, job)["exit_code"] == 0
    settled(host)
    assert rests(host)


def test_a_reboot_in_the_middle_of_a_job(host, controller):
    """The controller hears that it ended, and gives it again; the rules were there before it."""
    with running(host, controller) as job:
        host.reboot()
        assert controller.wait(job.task)["results"]["exit_code"] != 0
    with running(host, controller) as again:
        assert finish(host, controller, again)["exit_code"] == 0
        complete(host, again)
    times = "systemctl show --value -p ActiveEnterTimestampMonotonic"
    order = [
        int(host.run(f"{times} {unit}").stdout)
        for unit in ("opensafely-firewall", "docker", "opensafely-jobrunner")
    ]
    assert order == sorted(order)


def test_status_starts_few_programs(host):
    """Cheap enough to be asked every minute."""
    trace = "strace -qq -f -e trace=execve -o /tmp/trace"
    host.run("command -v strace || apt-get -qq install strace")
    assert manage(host, "status", prefix=trace).returncode == 0
    started = host.run("grep -c '= 0$' /tmp/trace").stdout
    # manage.sh and python3 among them.
    assert int(started) <= 12, host.run("cat /tmp/trace").stdout


def test_programs_read_the_same(host):
    found = json.loads(manage(host, "job list --json").stdout)
    assert found == {"format": 1, "jobs": []}


def test_developers_look_at_jobs_without_a_password(host):
    """That command, and none beside it."""
    ada = host.people["ada"]
    done = host.ssh("ada", ada.key, "sudo -n backend job list")
    assert done.stdout == "no job is here\n"
    rule = host.run("sudo -l -U ada").stdout
    assert "NOPASSWD: /usr/local/sbin/backend job list\n" in rule
