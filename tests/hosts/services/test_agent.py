"""What the agent and its controller do wrong, and that status, restart and update tell it apart."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sandbox import fixtures
from sandbox.answer import Answer
from sandbox.outside import CONTROLLER
from tests.hosts.jobs import jobbing
from tests.hosts.managing import CHECKOUT, history, manage
from tests.hosts.programs import wait_until
from tests.hosts.services.running import (
    LOCAL,
    UNIT,
    digest,
    inside,
    inspected,
    listed,
    polls_again,
    starts_anew_quickly,
)


pytestmark = [pytest.mark.share("agent"), pytest.mark.one_of("agent", "errs")]
STEADY_S = 4


@pytest.fixture(scope="module")
def host(shared_warm_host):
    """Whose agent asks every half second, and has proved itself after a few."""
    host = shared_warm_host("test", shape=[fixtures.hurried], legacy_cgroups=True)
    at = f"{CHECKOUT}/backend_server/checkout/service.py"
    host.run(f"sed -i 's/steady_s: int = 15/steady_s: int = {STEADY_S}/' {at}")
    return host


@pytest.fixture(scope="module")
def quick(host):
    """Whose agent is started anew after a second, and not after five."""
    starts_anew_quickly(host)
    return host


def in_playbook(heading, **values):
    """The lines to type of a page, block by block, with these in place of its examples."""
    text = (Path(__file__).parents[3] / "docs/playbook.md").read_text()
    page = text.partition(f"### {heading}\n")[2].partition("\n#")[0]
    for name, value in values.items():
        page = re.sub(rf"\b{name}=\S+", f"{name}={value}", page)
    return [block.strip("\n") for block in re.findall(r"(?:^ {4}.*\n)+", page, re.M)]


def shown(host, name):
    return host.run(f"systemctl show --value -p {name} {UNIT}").stdout.strip()


def in_the_pause(host, outside):
    """The agent has ended often, its controller is back, and systemd waits to start it anew."""
    outside.stop((CONTROLLER,))
    wait_until(
        lambda: (
            int(shown(host, "NRestarts")) >= 3
            and shown(host, "SubState") == "auto-restart"
        ),
        timeout_s=90,
    )
    outside.start()


def test_what_happened_before_a_start_does_not_count(host, outside, job_runner):
    before, new = digest(host), job_runner["v2"]
    in_the_pause(host, outside)
    done = manage(host, "service restart jobrunner")
    assert done.returncode == 0, done.stderr
    for words in (f"update jobrunner --to {new}", "rollback jobrunner"):
        in_the_pause(host, outside)
        done = manage(host, f"service {words} --yes")
        assert done.returncode == 0, done.stderr
        assert digest(host) == (new if "update" in words else before)


@pytest.mark.long
@pytest.mark.parametrize("how", ["start", "a secret", "a run"])
def test_nor_does_it_for_what_else_starts_it(host, outside, how):
    local = host.read(LOCAL)
    in_the_pause(host, outside)
    if how == "start":
        done = manage(host, "service start jobrunner")
    elif how == "a secret":
        argv = (
            f"{CHECKOUT}/test/manage.sh service secrets set PRIVATE_REPO_ACCESS_TOKEN"
        )
        done = host.run(argv, stdin="another", check=False)
    else:
        host.run(f"cat > {LOCAL}", stdin=f"{local}MORE=1\n")
        done = manage(host, "--offline")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "did not stay up" not in done.stdout
    wait_until(lambda: listed(host)["state"] == "running")


def test_the_last_words_are_those_of_what_was_tried(quick, job_runner):
    """And it is kept where somebody says so, which the history has."""
    host = quick
    update = f"service update jobrunner --to {job_runner['broken']} --yes"
    before = listed(host)["digest"]
    done = manage(host, update)
    assert done.returncode == 1
    assert "this version cannot start" in done.stderr
    assert "loop started" not in done.stderr
    assert listed(host)["digest"] == before
    done = manage(host, f"{update} --keep")
    assert done.returncode == 4, done.stdout + done.stderr
    assert "does not stay up yet" in done.stdout
    assert listed(host)["digest"] == job_runner["broken"]
    kept = {"after": job_runner["broken"], "outcome": "kept"}
    assert kept.items() <= history(host)[-1].items()
    assert manage(host, "service rollback jobrunner --yes").returncode == 0
    assert listed(host)["digest"] == before


def test_a_job_that_errs_is_told_and_in_nobodys_way(quick, controller, job_runner):
    """For ever, until it is cancelled; others end meanwhile, and the agent can be replaced."""
    host = quick
    before = listed(host)["digest"]
    archive, back, *_ = in_playbook("Archive a workspace", name="w3")
    kept = "/srv/high_privacy/workspaces/w3/out/a.csv"
    host.run(f"install -D -o opensafely /dev/null {kept}; echo 1 > {kept}")
    host.run(f"set -e; {archive}")
    assert host.run(f"ls {kept}", check=False).returncode
    # More than is looked at of its log, from before.
    inside(host, "seq 4000 > /proc/1/fd/1")
    archived = controller.add("test", "-c", "pass", workspace="w3")
    wait_until(lambda: listed(host)["erring"], timeout_s=60)
    assert listed(host)["state"] == "running"
    (found,) = listed(host)["erring"]
    assert (found["job"], found["workspace"]) == (archived.id, "w3")
    assert "Workspace w3 has been archived" in found["error"]
    degraded = jobbing.status(host, 4)["degraded"]
    (sentence,) = [each for each in degraded if archived.id in each]
    assert f"job {archived.id} of workspace w3 errs since 2" in sentence
    assert f"cancels it at https://jobs.opensafely.org/jobs/{archived.id}/" in sentence
    job = jobbing.listed(host)[archived.id]
    assert (job["state"], job["error"]) == ("erring", found["error"])
    other = controller.add("test", "-c", "print(1)", workspace="w4")
    assert manage(host, "service restart jobrunner").returncode == 0
    done = manage(host, f"service update jobrunner --to {job_runner['v2']} --yes")
    assert done.returncode == 0, done.stderr
    assert controller.wait(other.task)["results"]["exit_code"] == 0
    assert controller.stages(archived.task) == ["preparing"]
    assert controller.wait(controller.cancel(archived))["results"]["cancelled"]
    host.run(f"set -e; {back}")
    assert host.run(f"stat -c %U {kept}; cat {kept}").stdout == "opensafely\n1\n"
    again = controller.add("test", "-c", "pass", workspace="w3")
    assert controller.wait(again.task)["results"]["exit_code"] == 0
    wait_until(lambda: not listed(host)["erring"], timeout_s=60)
    assert manage(host, "service rollback jobrunner --yes").returncode == 0
    assert listed(host)["digest"] == before


def test_an_image_with_which_all_jobs_err_goes_back(quick, controller, job_runner):
    host = quick
    before = listed(host)["digest"]
    with jobbing.running(host, controller):
        update = f"service update jobrunner --to {job_runner['older']} --yes"
        done = manage(host, update)
        assert done.returncode == 1
        assert "unexpected keyword argument 'user'" in done.stderr
        assert listed(host)["digest"] == before


@pytest.mark.long
def test_a_controller_that_answers_nonsense(quick, outside):
    """HTML, a way elsewhere, half an answer: the agent ends each time, which is told, and heals."""
    host, path = quick, "*"
    for bad in (
        Answer(b"<html>welcome</html>"),
        Answer(b"", 302, {"Location": "https://jobs.opensafely.org/"}),
        Answer(b'{"tasks": [', headers={"Content-Length": "80"}),
    ):
        outside.answer(CONTROLLER, path, bad)
        before = int(shown(host, "NRestarts"))
        wait_until(lambda n=before: int(shown(host, "NRestarts")) >= n + 2, 60)
    assert listed(host)["state"] == "restarting"
    degraded = jobbing.status(host, 4)["degraded"]
    assert any("jobrunner starts again and again" in each for each in degraded)
    outside.reset()
    polls_again(host, outside)
    wait_until(lambda: listed(host)["state"] == "running", 60)


def of_its_silence(host):
    """What `status` says while no answer comes."""
    found = listed(host)
    assert (found["state"], found["last_poll"]) == ("running", None)
    done = manage(host, "status")
    assert done.returncode == 4
    assert f"no answer from the controller since {found['silent_since']}" in done.stdout
    return done.stdout


def asks_again(host, outside):
    """And is answered."""
    outside.reset()
    assert manage(host, "service restart jobrunner").returncode == 0
    wait_until(lambda: listed(host)["last_poll"], timeout_s=30)
    assert listed(host)["silent_since"] is None


def test_an_agent_that_waits_without_end(host, outside):
    """The controller takes the question and says nothing; its last answer is not made up."""
    wait_until(lambda: listed(host)["last_poll"], timeout_s=60)
    assert listed(host)["silent_since"] is None
    outside.answer(CONTROLLER, "*", Answer(b"", 0, ends=False))
    wait_until(lambda: listed(host)["silent_since"], timeout_s=30)
    of_its_silence(host)
    asks_again(host, outside)


@pytest.mark.parametrize("after", ["TLS", "TCP"])
def test_an_agent_whose_first_question_is_never_answered(host, outside, after):
    """In five loops, though its second thread asks each half minute."""
    if after == "TLS":
        outside.answer(CONTROLLER, "*", Answer(b"", 0, ends=False))
    else:
        outside.hang((CONTROLLER,))
    host.run(f"systemctl restart {UNIT}")
    wait_until(lambda: listed(host)["silent_since"], timeout_s=45)
    assert "sudo backend service restart jobrunner" in of_its_silence(host)
    asks_again(host, outside)


def test_a_disk_that_comes_late_is_seen(host):
    """By the container that ran before, so that no job of an archived workspace is begun anew."""
    there = "/srv/high_privacy/archive"
    host.run(f"mkdir -p {there}; mount -t tmpfs archive {there}")
    try:
        host.run(f"touch {there}/w5.tar.gz")
        assert inside(host, f"ls {there}") == "w5.tar.gz\n"
        host.run(f"umount {there}")
        assert inside(host, f"ls {there}") == ""
    finally:
        host.run(f"umount {there}", check=False)


def test_a_container_that_sees_other_mounts_than_the_host(host, outside):
    """As where somebody made them private: said, in both directions, until a restart."""
    there = "/srv/high_privacy/archive"
    sentence = f"does not see at {there} what is mounted here"
    assert sentence not in manage(host, "status").stdout
    host.run(f"mkdir -p {there}; {private(host)} /srv/high_privacy")
    host.run(f"mount -t tmpfs archive {there}")
    try:
        done = manage(host, "status")
        assert (done.returncode, sentence in done.stdout) == (4, True)
        assert manage(host, "service restart jobrunner").returncode == 0
        assert sentence not in manage(host, "status").stdout
        host.run(f"{private(host)} /srv/high_privacy; umount {there}")
        assert sentence in manage(host, "status").stdout
    finally:
        host.run(f"umount {there}", check=False)
        assert manage(host, "service restart jobrunner").returncode == 0


def private(host):
    """What is mounted or taken away there no longer comes to the container."""
    pid = inspected(host)["State"]["Pid"]
    return f"mount --namespace /proc/{pid}/ns/mnt --make-private"


def test_a_field_that_the_agent_does_not_know_is_named(quick, outside, controller):
    """It ends with each poll, and says why in its last line alone; the age of its image is said too."""
    host = quick
    old = "days old; sudo backend service update jobrunner"
    assert any(old in note for note in listed(host)["notes"])
    controller.give("test", "dbstatus", "t1", {}, novel_field=1)
    sentence = "older than its controller, and does not know its field 'novel_field'"

    def told():
        done = manage(host, "status")
        return sentence in done.stdout and done.returncode == 4

    wait_until(told, timeout_s=90)
    # At every moment of its loop: between two polls, in the pause, and while it starts.
    assert [told() for _ in range(15)] == [True] * 15
    controller.withdraw("t1")
    wait_until(lambda: sentence not in manage(host, "status").stdout, timeout_s=60)
    assert manage(host, "service restart jobrunner").returncode == 0
    wait_until(lambda: listed(host)["state"] == "running", timeout_s=30)
    assert sentence not in manage(host, "status").stdout


SLOW = """
[Service]
Type=oneshot
ExecStart=/bin/sleep 8
"""


def test_a_disk_that_comes_late_at_boot_is_waited_for(host, outside):
    there, unit = "/srv/high_privacy/archive", "srv-high_privacy-archive.mount"
    how = "_netdev,x-systemd.requires=slow.service"
    host.run(f"mkdir -p {there}; echo disk {there} tmpfs {how} 0 0 >> /etc/fstab")
    host.run("cat > /etc/systemd/system/slow.service", stdin=SLOW)
    host.reboot()
    polls_again(host, outside)
    since = "systemctl show --value -p ActiveEnterTimestampMonotonic"
    mounted, began = (int(host.run(f"{since} {u}").stdout) for u in (unit, UNIT))
    assert mounted < began
    assert f" {there} " in inside(host, "cat /proc/self/mountinfo")
