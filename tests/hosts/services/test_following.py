"""A service that follows a tag: what it takes, what it goes back from, and who holds it."""

from __future__ import annotations

import pytest

from sandbox import fixtures
from sandbox.outside import CONTROLLER
from tests.hosts.managing import CHECKOUT, edited, history, manage, refused
from tests.hosts.programs import in_background, wait_until
from tests.hosts.services.running import (
    digest,
    listed,
    polls_again,
    started,
    starts_anew_quickly,
)


pytestmark = [pytest.mark.share("agent"), pytest.mark.one_of("agent", "follows")]
STEADY_S = 4
FOLLOW = "opensafely-follow@jobrunner"


@pytest.fixture(scope="module")
def host(shared_warm_host):
    shape = [fixtures.hurried, fixtures.quiet_timer]
    host = shared_warm_host("test", shape=shape, legacy_cgroups=True)
    at = f"{CHECKOUT}/backend_server/checkout/service.py"
    host.run(f"sed -i 's/steady_s: int = 15/steady_s: int = {STEADY_S}/' {at}")
    starts_anew_quickly(host)
    return host


def look(host):
    """What the timer does, by its own unit."""
    host.run(f"systemctl start {FOLLOW}.service")


def told(host, *words):
    """What `status` says of the service, and whether somebody should look."""
    found = manage(host, "status").stdout
    return [line for line in found.splitlines() if all(word in line for word in words)]


def steady(host):
    """While it counts as one that ends again and again, the one on trial is looked at alone."""
    wait_until(lambda: listed(host)["state"] == "running", timeout_s=120)


def test_what_the_tag_means_is_taken_and_proves_itself(
    host, outside, controller, job_runner
):
    timer = host.run(f"systemctl show -p TimersCalendar {FOLLOW}.timer").stdout
    assert host.run(f"systemctl is-active {FOLLOW}.timer").stdout == "active\n", timer
    before, lines = started(host), len(history(host))
    look(host)
    assert (started(host), len(history(host))) == (before, lines)
    outside.tag("job-runner", "v2")
    look(host)
    assert digest(host) == job_runner["v2"]
    line = history(host)[-1]
    found = (line["event"], line["before"], line["after"], line["outcome"])
    assert found == ("service follow", job_runner["v1"], job_runner["v2"], "runs")
    said = host.run("cat /var/lib/opensafely/notices").stdout
    assert "from https://github.com/opensafely-core/job-runner at 0123456" in said
    assert told(host, "service", f"{job_runner['v2']} is on trial")
    look(host)
    assert told(host, "is on trial")
    job = controller.add("test", "-c", "pass")
    controller.wait(job.task)
    assert not told(host, "is on trial")
    look(host)
    assert history(host)[-1]["event"] == "service follow"
    assert not told(host, "is on trial")


def test_what_asks_the_controller_nothing_goes_back_and_waits_for_the_next(
    host, outside, job_runner
):
    """It stays up, which was enough to stay before."""
    before = digest(host)
    bad = outside.tag("job-runner", "idle")
    look(host)
    assert digest(host) == before
    assert history(host)[-1]["outcome"] == "as before"
    (sentence,) = told(host, "degraded", bad)
    assert "no poll of it was answered" in sentence
    # Nor does it say where it is from, as our own do.
    done = manage(host, f"service update jobrunner --to {bad}")
    refused(done, f"{bad} of 2026-01-01, from nowhere it says")
    since, lines = started(host), len(history(host))
    look(host)
    assert (started(host), len(history(host))) == (since, lines)
    following = "v1" if before == job_runner["v2"] else "v2"
    outside.tag("job-runner", following)
    look(host)
    assert digest(host) == job_runner[following]
    assert not told(host, "degraded", bad)


def test_one_that_ends_again_and_again_while_on_trial_goes_back(
    host, outside, job_runner
):
    before, marks = digest(host), "/var/lib/opensafely/jobrunner/late"
    bad = outside.tag("job-runner", "late")
    look(host)
    assert digest(host) == bad
    host.run(f"touch {marks}")
    wait_until(lambda: listed(host)["restarts"] >= 3, timeout_s=60)
    look(host)
    assert digest(host) == before
    assert told(host, "degraded", bad)
    look(host)
    assert digest(host) == before
    polls_again(host, outside)


def test_a_controller_that_goes_away_during_a_trial(host, outside, job_runner):
    """It was here before, and is back after it: that says nothing of the image."""
    before = digest(host)
    other = "v1" if before == job_runner["v2"] else "v2"
    outside.tag("job-runner", other)
    with in_background(host, "systemctl", "start", f"{FOLLOW}.service") as trial:
        wait_until(lambda: other_runs(host, job_runner[other]), timeout_s=60)
        outside.stop((CONTROLLER,))
        wait_until(lambda: other_runs(host, before), timeout_s=120)
        outside.start()
        trial.end()
    assert digest(host) == before
    assert not told(host, "degraded", job_runner[other])
    polls_again(host, outside)
    look(host)
    assert digest(host) == job_runner[other]


def test_a_controller_that_goes_away_while_one_is_on_trial(host, outside, job_runner):
    """It stays, while it is away and once it is back."""
    on_trial = digest(host)
    assert told(host, "service", f"{on_trial} is on trial")
    outside.tag("job-runner", "v1" if on_trial == job_runner["v1"] else "v2")
    outside.stop((CONTROLLER,))
    wait_until(lambda: listed(host)["restarts"] >= 3, timeout_s=60)
    look(host)
    assert digest(host) == on_trial
    outside.start()
    wait_until(lambda: listed(host)["last_poll"] and listed(host)["since"])
    look(host)
    assert digest(host) == on_trial
    assert not told(host, "degraded", "went back")


@pytest.mark.long
def test_the_controllers_absence_is_no_images_fault(host, outside, job_runner):
    """What could not be proven then is tried again with the next look."""
    before = digest(host)
    other = "v1" if before == job_runner["v2"] else "v2"
    outside.stop((CONTROLLER,))
    wait_until(lambda: listed(host)["state"] == "restarting", timeout_s=60)
    outside.tag("job-runner", other)
    look(host)
    assert listed(host)["digest"] == before
    outside.start()
    polls_again(host, outside)
    steady(host)
    look(host)
    assert digest(host) == job_runner[other]
    # That the tag means the one before again says nothing of the one that was on trial.
    assert not told(host, "degraded", "went back")


def test_hold_and_let_go(host, outside, job_runner):
    """Held, it stays, and what is on trial at that moment goes back."""
    steady(host)
    before = digest(host)
    other = "v1" if before == job_runner["v2"] else "v2"
    outside.tag("job-runner", other)
    with in_background(host, "systemctl", "start", f"{FOLLOW}.service") as trial:
        wait_until(lambda: other_runs(host, job_runner[other]), timeout_s=60)
        done = manage(host, "service hold jobrunner --why 'a study that must end'")
        assert done.returncode == 0, done.stderr
        trial.end()
    assert digest(host) == before
    look(host)
    assert digest(host) == before
    assert told(host, "service", "held by root since", "a study that must end")
    events = [line for line in history(host) if line.get("event") == "service hold"]
    assert events[-1]["why"] == "a study that must end"
    done = manage(host, "service follow jobrunner")
    assert done.returncode == 0, done.stderr
    assert digest(host) == job_runner[other]
    assert not told(host, "held by")


def other_runs(host, wanted):
    show = "docker inspect --format '{{.Config.Image}}' jobrunner"
    return host.run(show, check=False).stdout.strip().endswith(wanted)


def test_what_a_person_chose_stays(host, outside, job_runner):
    look(host)
    before = digest(host)
    done = manage(host, "service rollback jobrunner --yes")
    assert done.returncode == 0, done.stderr
    assert digest(host) != before
    look(host)
    assert digest(host) != before
    assert told(host, "service", "held by root since", "service rollback")
    host.run("systemctl stop opensafely-jobrunner")
    manage(host, "service follow jobrunner")
    assert listed(host)["state"] == "stopped"
    assert manage(host, "service start jobrunner").returncode == 0


def test_another_tag_by_hand_stays(host, outside, job_runner):
    """And says what that means; the tag that it follows means no such thing."""
    before = digest(host)
    theirs, other = ("v1", "v2") if before == job_runner["v1"] else ("v2", "v1")
    done = manage(host, f"service update jobrunner --tag {other} --yes")
    assert done.returncode == 0, done.stderr
    assert "it follows latest no more, until: service follow jobrunner" in done.stdout
    outside.tag("job-runner", theirs)
    look(host)
    assert digest(host) == job_runner[other]
    assert told(host, "service", "held by root since", "service update")
    assert manage(host, "service follow jobrunner").returncode == 0
    assert digest(host) == before
    done = manage(host, "service update jobrunner --yes")
    assert done.stdout == f"jobrunner runs at {before} already\n"
    assert not told(host, "held by")


def test_no_exception_is_without_end(host):
    path = f"{CHECKOUT}/test/backend.py"
    text = host.read(path)
    begin = text.index("follows=(")
    line = text[begin : text.index("\n", begin)]
    day = line.split('"')[-2]
    with edited(host, path, text.replace(day, "2020-01-31")):
        done = manage(host, "plan --only jobrunner")
        assert (
            "degraded: jobrunner follows latest no longer: that was until 2020-01-31; ask the developers"
            in done.stdout
        )
        assert manage(host, "service follow jobrunner").returncode == 4
    # Longer, or Python takes what it compiled a moment ago for it.
    with edited(host, path, text.replace(f'{day}"', '2999-01-31" ')):
        refused(
            manage(host, "plan"), "follows a tag until '2999-01-31'", "at the latest"
        )
    with edited(host, path, text.replace(line, "")):
        refused(manage(host, "service follow jobrunner"), "follows no tag here")
        refused(manage(host, "service hold jobrunner --why x"), "follows no tag here")
        assert manage(host, "--only jobrunner").returncode == 0
        active = host.run(f"systemctl is-active {FOLLOW}.timer", check=False).stdout
        assert active == "inactive\n"
