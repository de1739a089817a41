"""A run whose line is cut goes on to its end; what could shut everybody out still wants a login."""

from __future__ import annotations

import random

import pytest

from tests.hosts import cutting
from tests.hosts.access.test_confirm import (
    HARMLESS,
    INBOUND,
    NO_STRANGERS,
    SHUT_OUT,
    SSH,
    WAITS,
    back,
    files,
    gets_in,
    settled,
)
from tests.hosts.doors import bent, desk, heals
from tests.hosts.managing import history, manage
from tests.hosts.programs import in_background, wait_until
from tests.hosts.run.test_kill import UNMANAGE
from tests.sampling import commit


pytestmark = pytest.mark.share("outputs")
MOMENTS = range(1, 21)
STEPS_OF_A_FIRST_RUN = 300  # or somewhat more
HARMLESS_RULES = ("table inet", "# harmless\ntable inet")


def moments(what, how_many):
    chosen = random.Random(f"{commit()} {what}").sample(MOMENTS, how_many)
    return [
        pytest.param(n, marks=() if n in chosen else pytest.mark.long) for n in MOMENTS
    ]


@pytest.fixture(scope="module")
def host(shared_warm_host):
    return shared_warm_host("test")


@pytest.fixture(scope="module")
def steps(host):
    """Of a run that changes sshd and the firewall."""
    cutting.prepare(host)
    with bent(host, SSH, *HARMLESS), bent(host, INBOUND, *HARMLESS_RULES):
        host.run(cutting.line(0, "test"))
    assert heals(host, "test")
    return cutting.steps(host)


def cut(host, number, within_s):
    """Grace's ssh is gone at that step of her run, or where it waits for a login before that.

    Whether it worked by itself by then.
    """
    cutting.prepare(host)
    words = cutting.line(number, f"test --confirm-within {within_s}")
    with desk(host, "grace", f"sudo {words}") as terminal:
        wait_until(lambda: cutting.stopped_at(host) or terminal.shows(WAITS), 60)
        found = cutting.stopped_at(host)
        by_itself = not found or found.by_itself
        if by_itself:
            assert "grace" in manage(host, "status").stdout.partition("under way")[2]
        terminal.process.kill()
    wait_until(lambda: not host.run("pgrep -u grace sshd", check=False).stdout)
    if found:
        host.run(f"kill -CONT {found.pid}", check=False)
    return by_itself


@pytest.mark.parametrize("moment", moments("back", 1))
def test_who_comes_back_confirms_it(host, steps, moment):
    before, runs = files(host), len(history(host))
    with bent(host, SSH, *HARMLESS), bent(host, INBOUND, *HARMLESS_RULES):
        if cut(host, steps * moment // 21, within_s=120):
            wait_until(lambda: gets_in(host, "ada") and not cutting.goes_on(host), 60)
            assert settled(host)
            assert files(host) != before
            line = history(host)[-1]
            ended = (line["exit"], line["confirmed"], line["who"])
            assert ended == (0, "ada", "grace"), history(host)[runs:]
        else:
            wait_until(lambda: not cutting.goes_on(host))
            assert (files(host), len(history(host))) == (before, runs)
    assert heals(host, "test")
    assert files(host) == before


@pytest.mark.parametrize("moment", moments("nobody", 1))
def test_where_nobody_comes_in_the_old_files_are_back(host, steps, moment):
    """Though the run's own login, from here, would get in."""
    before, runs = files(host), len(history(host))
    with bent(host, SSH, *SHUT_OUT), bent(host, INBOUND, *NO_STRANGERS):
        worked = cut(host, steps * moment // 21, within_s=1)
        wait_until(lambda: not cutting.goes_on(host), timeout_s=60)
        if worked:
            back(host, before)
            line = history(host)[-1]
            assert (line["exit"], "no developer" in line["taken_back"]) == (1, True)
        else:
            assert (files(host), len(history(host))) == (before, runs)
    assert heals(host, "test")


@pytest.mark.parametrize("moment", moments("first", 0))
def test_a_first_run_goes_on_to_its_end(warm_host, moment):
    """From a script that nobody looks at any more."""
    host = warm_host("test")
    host.run(f"exec >/dev/null 2>&1\n{UNMANAGE}", check=False)
    cutting.prepare(host)
    runs, number = len(history(host)), STEPS_OF_A_FIRST_RUN * moment // 21
    words = cutting.line(number, "test --yes --offline")
    with in_background(host, "bash", "-c", words):
        wait_until(lambda: cutting.stopped_at(host), timeout_s=120)
        found = cutting.stopped_at(host)
        host.run(f"kill -HUP {found.all}; kill -CONT {found.pid}")
        wait_until(lambda: not cutting.goes_on(host), timeout_s=300)
    if found.by_itself:
        assert history(host)[-1]["exit"] == 0
    else:
        assert len(history(host)) == runs
        assert manage(host, "--yes --offline").returncode == 0
    done = manage(host)
    assert (done.returncode, done.stdout.count("\n")) == (0, 1), done.stdout
