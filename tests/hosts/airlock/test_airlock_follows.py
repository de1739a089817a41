"""Airlock may follow a tag, as the job-runner does: it has to show its page, and goes back with its data."""

from __future__ import annotations

import json

import pytest

from sandbox import fixtures
from sandbox.outside import CONTROLLER
from tests.hosts.airlock.asking import COUNT, answers, database, said
from tests.hosts.managing import CHECKOUT, edited, history, manage, rests
from tests.hosts.programs import wait_until


pytestmark = pytest.mark.share("Airlock")
FOLLOW = "opensafely-follow@airlock"
FOLLOWS = '    follows=(Follow("airlock", "latest", "the developers", "2027-11-28"),'


@pytest.fixture(scope="module")
def host(shared_warm_host):
    shape = [fixtures.quiet_timer]
    host = shared_warm_host("test", shape=shape, legacy_cgroups=True)
    at = f"{CHECKOUT}/backend_server/checkout/service.py"
    host.run(f"sed -i 's/steady_s: int = 15/steady_s: int = 4/' {at}")
    path = f"{CHECKOUT}/test/backend.py"
    text = host.read(path).replace("    follows=(", FOLLOWS)
    with edited(host, path, text):
        done = manage(host, "--offline")
        assert done.returncode == 0, done.stdout + done.stderr
        wait_until(lambda: "Listening" in said(host), 60)
        yield host


@pytest.fixture(scope="module")
def images(sandbox):
    return sandbox.images.digests["opensafely-core/airlock"]


def look(host):
    """What the timer does, by its own unit."""
    host.run(f"systemctl start {FOLLOW}.service")


def listed(host):
    found = json.loads(manage(host, "service list --json").stdout)
    (one,) = [each for each in found["services"] if each["name"] == "airlock"]
    return {**one, "degraded": found["degraded"]}


def test_what_the_tag_means_is_taken_once_its_page_is_there(host, outside):
    assert rests(host, words="--offline")
    assert host.run(f"systemctl is-active {FOLLOW}.timer").stdout == "active\n"
    before, lines = listed(host), len(history(host))
    look(host)
    assert (listed(host)["digest"], len(history(host))) == (before["digest"], lines)
    new = outside.tag("airlock", "v2")
    look(host)
    assert answers(host)
    line = history(host)[-1]
    told = (line["event"], line["subject"], line["after"], line["outcome"])
    assert told == ("service follow", "airlock", new, "runs")
    now = listed(host)
    assert (now["digest"], now["state"], now["degraded"]) == (new, "running", [])
    # It asks nobody for work, and has no first job.
    assert not [note for note in now["notes"] if "trial" in note]
    assert rests(host, words="--offline")


@pytest.mark.parametrize(
    ("version", "controller"), [("migrates", "answers"), ("errs", "is away")]
)
def test_one_that_does_not_come_up_goes_back_with_its_data(
    host, outside, version, controller
):
    """And is not tried again: whether the job-runner's controller answers says nothing of it."""
    before, count = listed(host)["digest"], database(host, COUNT)
    if controller == "is away":
        outside.stop((CONTROLLER,))
    bad = outside.tag("airlock", version)
    look(host)
    wait_until(lambda: answers(host), 60)
    now = listed(host)
    assert (now["digest"], database(host, COUNT)) == (before, count)
    (sentence,) = [each for each in now["degraded"] if bad in each]
    assert sentence.startswith(f"airlock went back from {bad}, which latest meant")
    assert history(host)[-1]["outcome"] == "as before"
    lines = len(history(host))
    look(host)
    assert (listed(host)["digest"], len(history(host))) == (before, lines)


def test_hold_and_let_go(host, outside, images):
    before = listed(host)["digest"]
    done = manage(host, "service hold airlock --why 'a review that must end'")
    assert done.returncode == 0, done.stderr
    new = outside.tag("airlock", "v2" if before == images["v1"] else "v1")
    look(host)
    assert listed(host)["digest"] == before
    assert any("a review that must end" in note for note in listed(host)["notes"])
    done = manage(host, "service follow airlock")
    assert done.returncode == 0, done.stderr
    assert listed(host)["digest"] == new
    assert answers(host)
    # What a person chose stays.
    assert manage(host, "service rollback airlock --yes").returncode == 0
    look(host)
    assert listed(host)["digest"] == before
    assert any("service rollback" in note for note in listed(host)["notes"])
