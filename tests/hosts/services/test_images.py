"""Another image for the job-runner: chosen, tried, kept, taken back; and a registry that is none."""

import time

import pytest

from sandbox import fixtures
from sandbox.outside import DOCKER_PROXY
from tests.hosts.managing import CHECKOUT, edited, history, manage, refused, rests
from tests.hosts.programs import on_terminal
from tests.hosts.services.running import digest, listed, polls_again, started


pytestmark = pytest.mark.share("job-runner")
LOCK = f"{CHECKOUT}/test/images.lock"
UPDATE = "service update jobrunner"


@pytest.fixture(scope="module")
def host(shared_warm_host):
    return shared_warm_host("test", shape=[fixtures.quiet_timer])


def test_update_and_rollback(host, outside, job_runner):
    """On a terminal it asks; what was chosen here stays through runs, and the one before is kept."""
    latest = outside.tag("job-runner", "v2")
    assert latest == job_runner["v2"]
    refused(manage(host, UPDATE), "nobody is here to say yes", job_runner["v2"])
    with on_terminal(host, f"{CHECKOUT}/test/manage.sh {UPDATE}") as terminal:
        said = terminal.until("Type yes to restart it at that: ")
        assert (
            f"{job_runner['v1']} of 2026-01-01 -> {job_runner['v2']} of 2026-01-01"
            in said
        )
        terminal.type("yes\n")
        assert terminal.end() == 0, terminal.seen
    assert digest(host) == job_runner["v2"]
    polls_again(host, outside)
    assert rests(host)
    assert manage(host, f"{UPDATE} --yes").stdout.endswith("already\n")
    back = manage(host, "service rollback jobrunner --yes")
    assert back.returncode == 0, back.stderr
    assert digest(host) == job_runner["v1"]
    assert rests(host)
    lines = [line for line in history(host) if "event" in line][-2:]
    events = [(line["event"], line["after"]) for line in lines]
    went_back = ("service rollback", job_runner["v1"])
    assert events == [("service update", latest), went_back]


def test_an_update_that_does_not_stay_up_goes_back(host, outside, job_runner):
    before = digest(host)
    began = time.monotonic()
    done = manage(host, f"{UPDATE} --to {job_runner['broken']} --yes")
    assert done.returncode == 1
    assert time.monotonic() - began < 120
    assert f"did not stay up at {job_runner['broken']}" in done.stderr
    assert "this version cannot start" in done.stderr
    line = history(host)[-1]
    found = (line["before"], line["after"], line["outcome"])
    assert found == (before, job_runner["broken"], "as before")
    assert digest(host) == before
    polls_again(host, outside)
    assert rests(host)
    assert listed(host)["digest"] == before


CHOICES = "/etc/opensafely/images.lock"
SETTINGS = "/etc/opensafely/services"
SHUT = {
    "the choices": f"chattr +i {CHOICES}",
    "their folder": "chattr +i /etc/opensafely",
    "only to be added to": f"chattr +a {SETTINGS}/jobrunner",
    "a disk": f"mount --bind {SETTINGS} {SETTINGS}; mount -o remount,bind,ro {SETTINGS}",
}


@pytest.mark.parametrize("how", SHUT)
def test_what_cannot_be_written_down_is_not_tried(host, job_runner, how):
    """Neither asked for nor restarted; what is printed shows why, and mends what chattr(1) did."""
    host.run(f"[ -e {CHOICES} ] || : > {CHOICES}; {SHUT[how]}")
    now = digest(host)
    other = job_runner["v2" if now == job_runner["v1"] else "v1"]
    update = f"{UPDATE} --to {other} --yes"
    before = (started(host), len(history(host)), host.read(CHOICES))
    try:
        done = manage(host, update)
        why = "Read-only file system" if how == "a disk" else "Operation not permitted"
        refused(done, f"cannot be written: {why}")
        assert (started(host), len(history(host)), host.read(CHOICES)) == before
        host.run(done.stderr.partition("try: ")[2].strip())
    finally:
        host.run(f"umount {SETTINGS}", check=False)
        host.run(f"chattr -ia /etc/opensafely {CHOICES} {SETTINGS}/jobrunner")
    if how == "the choices":
        done = manage(host, update)
        assert (done.returncode, digest(host)) == (0, other), done.stderr


def test_a_line_in_the_checkout_beats_an_older_choice(host, job_runner):
    assert manage(host, f"{UPDATE} --to {job_runner['v2']} --yes").returncode == 0
    broken = f"jobrunner {job_runner['broken']}\n"
    with edited(host, LOCK, broken):
        done = manage(host)
        assert done.returncode == 1
        assert "it is back at" in done.stdout
        assert "this version cannot start" in done.stdout
        assert digest(host) == job_runner["v2"]
    assert rests(host)
    with edited(host, LOCK, f"# newer\njobrunner {job_runner['v1']}\n"):
        assert digest(host) == job_runner["v2"]
    assert manage(host, "service rollback jobrunner --yes").returncode == 0
    assert digest(host) == job_runner["v1"]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (lambda outside: outside.stop((DOCKER_PROXY,)), "does not answer"),
        (
            lambda outside: outside.wrong_authority((DOCKER_PROXY,)),
            "is not one that this host trusts",
        ),
        (lambda outside: None, "the registry has no such image"),
    ],
    ids=["registry down", "wrong CA", "image missing"],
)
def test_a_registry_that_gives_nothing(host, outside, job_runner, bad, why):
    """By command and by a run: a sentence, exit 4, and what runs goes on."""
    bad(outside)
    since, missing = started(host), "sha256:" + 64 * "0"
    done = manage(host, f"{UPDATE} --to {missing} --yes")
    assert done.returncode == 4
    assert why in done.stderr
    with edited(host, LOCK, f"jobrunner {missing}\n"):
        done = manage(host)
    assert done.returncode == 4, done.stdout + done.stderr
    assert why in done.stdout
    assert started(host) == since
    assert rests(host, words="--offline")
