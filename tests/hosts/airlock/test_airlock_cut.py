"""Airlock's image and data, where the update or restore of it is cut: of before or of after, and told."""

from __future__ import annotations

import json

import pytest

from sandbox import fixtures
from tests.hosts import cutting
from tests.hosts.airlock.asking import answers, database, kept, said
from tests.hosts.managing import CHECKOUT, history, manage, rests
from tests.hosts.programs import on_terminal, wait_until
from tests.hosts.services.test_cut import MOMENTS, TRIAL, cut, moments, status


pytestmark = pytest.mark.share("outputs")
MARK = "PRAGMA user_version"
UPDATE, RESTORE = "service update", "service restore"
COMMANDS = {
    UPDATE: "service update airlock --yes --to {new}",
    RESTORE: "service restore airlock --yes",
}


@pytest.fixture(scope="module")
def host(shared_warm_host):
    shape = [fixtures.hurried, fixtures.quiet_timer]
    host = shared_warm_host("test", shape=shape, legacy_cgroups=True)
    at = f"{CHECKOUT}/backend_server/checkout/service.py"
    host.run(f"sed -i 's/steady_s: int = 15/steady_s: int = 2/' {at}")
    assert manage(host).returncode == 0
    wait_until(lambda: "Listening" in said(host), 60)
    return host


@pytest.fixture(scope="module")
def steps():
    """Of each command, as they were counted."""
    return {}


def digest(host):
    show = "docker inspect -f '{{.Config.Image}}' airlock"
    return host.run(show).stdout.strip().partition("@")[2]


def mark(host):
    """A number that Airlock's database has, and Airlock leaves alone."""
    return int(database(host, f"print(d.execute('{MARK}').fetchone()[0])"))


def ready(host, images, command):
    """A copy that a restore brings back, and a change that it loses; and what to type."""
    assert manage(host, "service backup airlock").returncode == 0
    then = mark(host)
    database(host, f"d.execute('{MARK} = {then + 1}')")
    new = images["v2" if digest(host) == images["v1"] else "v1"]
    return COMMANDS[command].format(new=new), {UPDATE: then + 1, RESTORE: then}[command]


def is_done(host, events, command):
    """By the history, and that it was not undone."""
    lines = [each for each in history(host)[events:] if each.get("subject")]
    lines = [each for each in lines if each["event"] in (command, "undo")]
    last = [each for each in lines if each.get("outcome") != "as before"][-1:]
    return [each["event"] for each in last] == [command]


def test_after_a_ctrl_c_the_line_after_try_restores_what_was_meant(host):
    """By then the last copy is that of the data that is to go."""
    words, then = ready(host, {"v1": "", "v2": ""}, RESTORE)
    before = kept(host)
    with on_terminal(host, f"{CHECKOUT}/test/manage.sh {words}") as terminal:
        wait_until(lambda: kept(host) != before, 60)
        terminal.type("\x03")
        assert terminal.end() == 1
    assert mark(host) == then + 1
    line = terminal.seen.rpartition("try: ")[2].splitlines()[0]
    assert line == f"sudo backend service restore airlock {before[-1]}"
    with on_terminal(host, line) as terminal:
        terminal.until("Type yes: ")
        terminal.type("yes\n")
        assert terminal.end() == 0
    assert mark(host) == then
    wait_until(lambda: answers(host), 60)


@pytest.mark.parametrize(("command", "how", "moment"), [*moments(COMMANDS)])
def test_its_data_is_that_of_before_or_of_after(
    host, sandbox, steps, command, how, moment
):
    images = sandbox.images.digests["opensafely-core/airlock"]
    if command not in steps:
        words, _ = ready(host, images, command)
        cutting.prepare(host)
        host.run(cutting.line(0, f"test {words}"))
        steps[command] = cutting.steps(host)
        wait_until(lambda: answers(host), 60)
    words, after = ready(host, images, command)
    was, events = (digest(host), mark(host)), len(history(host))
    number = steps[command] * moment // (len(MOMENTS) + 1)
    where = cut(host, number, words, how)
    wait_until(lambda: answers(host), 90)
    done, now = is_done(host, events, command), (digest(host), mark(host))
    print(f"step {number} of {steps[command]}: {where}; {done}; {was}; {now}")
    print(json.dumps(history(host)[events:], indent=1))
    assert (now[0] != was[0]) is (done and command == UPDATE)
    assert now[1] == (after if done else was[1])
    if how == "HUP" and where:
        assert done is (where == "worked"), "a line is no reason for another end"
    assert host.run(f"ls {TRIAL}", check=False).returncode
    found = status(host)
    assert found["under_way"] == []
    assert not [each for each in found["degraded"] if "trial" in each]
    assert rests(host, words="--only airlock")
