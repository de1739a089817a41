"""What is degraded is looked at once in a run, and anew after something was changed."""

from pathlib import Path

import pytest

from backend_server.host import Host
from backend_server.people.offers import Verdict
from backend_server.run import run as running
from backend_server.text.errors import DEGRADED
from tests.unit.example import site_of


pytestmark = pytest.mark.share("in force")


@pytest.fixture
def looks(monkeypatch):
    """Each look at what a run stands on, of which there is always something to say."""
    done = []

    def beneath(site, host):
        done.append(host)
        yield f"look {len(done)}"

    monkeypatch.setattr(running, "beneath", beneath)
    return done


@pytest.fixture
def run(tmp_path, looks):
    site = site_of("test", "jammy", tmp_path / "checkout")
    options = running.Options("test", Path(site.checkout))
    return running.Run(options, Host(tmp_path), site, Verdict({}), lambda site: ())


def test_it_is_looked_at_once(run, looks):
    assert run.ended() == DEGRADED
    assert (run.degraded, run.data()["degraded"]) == (["look 1"], ["look 1"])
    assert run.ended() == DEGRADED
    assert len(looks) == 1


def test_it_is_looked_at_again_once_something_may_have_changed(run):
    assert run.degraded == ["look 1"]
    run.host._forget_answers()
    assert run.degraded == ["look 2"]
    run.plan()
    assert run.degraded == ["look 3"]


def test_what_is_heard_of_the_outside_world_meanwhile_counts(run):
    assert run.degraded == ["look 1"]
    run.unanswered = ["it does not answer"]
    assert run.degraded == ["look 1", "it does not answer"]
