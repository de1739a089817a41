"""What the agent and its controller do wrong, and that status, restart and update tell it apart."""

from __future__ import annotations

import pytest

from sandbox import fixtures
from sandbox.outside import CONTROLLER
from tests.hosts.managing import CHECKOUT, history, manage
from tests.hosts.programs import wait_until
from tests.hosts.services.running import UNIT, digest, listed


pytestmark = pytest.mark.share("agent")
STEADY_S = 4


@pytest.fixture(scope="module")
def host(shared_warm_host):
    """Whose agent asks every half second, and has proved itself after a few."""
    host = shared_warm_host("test", shape=[fixtures.hurried], legacy_cgroups=True)
    at = f"{CHECKOUT}/backend_server/checkout/service.py"
    host.run(f"sed -i 's/steady_s: int = 15/steady_s: int = {STEADY_S}/' {at}")
    return host


@pytest.fixture
def job_runner(sandbox):
    return sandbox.images.digests["opensafely-core/job-runner"]


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


def test_the_last_words_are_those_of_what_was_tried(host, job_runner):
    """And it is kept where somebody says so, which the history has."""
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
    assert history(host)[-1]["sentence"].endswith(", who keeps it")
    assert manage(host, "service rollback jobrunner --yes").returncode == 0
    assert listed(host)["digest"] == before
