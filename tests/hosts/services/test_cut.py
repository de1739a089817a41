"""Lines that are cut, and processes that die, while a service is stopped or tried for a while."""

from __future__ import annotations

import contextlib
import json
import random
import re
from itertools import count

import pytest

from sandbox import fixtures
from tests.hosts import cutting
from tests.hosts.jobs import jobbing
from tests.hosts.managing import (
    CHECKOUT,
    edited,
    history,
    manage,
    refused,
    rests,
)
from tests.hosts.programs import on_terminal, talking, wait_until
from tests.hosts.services.running import SECRETS, UNIT, digest, environ
from tests.sampling import commit


pytestmark = pytest.mark.share("outputs")
LOCK = f"{CHECKOUT}/test/images.lock"
NOTICES = "/var/lib/opensafely/notices"
TRIAL = "/var/lib/opensafely/on-trial"
FOLLOWED = "/var/lib/opensafely/jobrunner.followed"
TOKEN = "PRIVATE_REPO_ACCESS_TOKEN"
WAYS = ("HUP", "TERM", "INT", "KILL", "reboot")
MOMENTS = range(1, 21)  # of each command, from its beginning to its end
COMMANDS = {
    "update": "service update jobrunner --yes --to {new}",
    "rollback": "service rollback jobrunner --yes",
    "follow": "service follow jobrunner",
    "restart": "service restart jobrunner",
    "stop": "service stop jobrunner",
    "secrets": f"service secrets set {TOKEN}",
    "maintenance": "host maintenance",
}
# As the history has it, once it has come to its end.
DONE = {
    "update": "service update",
    "rollback": "service rollback",
    "follow": "service follow",
    "restart": "service restart",
    "stop": "service stop",
    "secrets": "secret set",
    "maintenance": "host maintenance",
}
UNDO = "host undo"
# Who stops a service for a while, and dies; and a boot's unit that brings nothing back.
DIES = f"""
import os, signal, subprocess, sys
sys.path.append("{CHECKOUT}")
from backend_server.engine.lock import only_run
from backend_server.host.writer import Host
from backend_server.services import meanwhile
with only_run("a test"), meanwhile.on_trial(Host(), "jobrunner"):
    subprocess.run(["systemctl", "stop", "{UNIT}"], check=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
# The tool, which dies once it has forgotten a trial, or run a program that begins so.
DIES_AFTER = """
import os, runpy, signal, sys
sys.path.insert(0, "{0}")
from backend_server.host import undo
from backend_server.host.writer import Host

def forgets(host, at=undo.TOGETHER):
    there = host.stat(at)
    forget(host, at)
    if there:
        os.kill(os.getpid(), signal.SIGKILL)

def runs(host, *argv, **more):
    said = run(host, *argv, **more)
    if " ".join(argv).startswith("{1}"):
        os.kill(os.getpid(), signal.SIGKILL)
    return said

forget, undo.forget_together = undo.forget_together, forgets
run, Host.run = Host.run, runs
sys.argv = ["entry.py", "{0}", "test", *sys.argv[1:]]
runpy.run_path("{0}/backend_server/entry.py", run_name="__main__")
"""
AT_STAKE = """
import sys
sys.path.append("{0}")
from backend_server.host import undo
from backend_server.host.writer import Host
undo.keep_together(Host(), ["{1}"])
"""
BRINGS_NONE = "[Service]\nExecStartPre=false\n"
FAILS = "/run/systemd/system/opensafely-undo-at-boot.service.d/fails.conf"
# It may be stopped between taking a lock and saying whose it is.
BY_WHOM = re.compile(".*root.*, since 2|a run that has just begun")
secret = count()


@pytest.fixture(scope="module")
def host(shared_warm_host, sandbox):
    """Whose services have proved themselves after two seconds, and have an image to go back to."""
    shape = [fixtures.hurried, fixtures.quiet_timer]
    host = shared_warm_host("test", shape=shape, legacy_cgroups=True)
    cutting.prepare(host)
    at = f"{CHECKOUT}/backend_server/checkout/service.py"
    host.run(f"sed -i 's/steady_s: int = 15/steady_s: int = 2/' {at}")
    assert manage(host).returncode == 0
    v2 = sandbox.images.digests["opensafely-core/job-runner"]["v2"]
    assert manage(host, f"service update jobrunner --yes --to {v2}").returncode == 0
    return host


@pytest.fixture
def job_runner(host, sandbox):
    """Its images; it runs, whatever the test before has left.

    systemd would not start docker a fourth time within a minute.
    """
    host.run("systemctl reset-failed docker")
    if not active(host):
        assert manage(host).returncode == 0
    return sandbox.images.digests["opensafely-core/job-runner"]


def status(host):
    return json.loads(manage(host, "status --json").stdout)


def active(host, unit=UNIT):
    done = host.run(f"systemctl is-active {unit}", check=False)
    return done.stdout.strip() == "active"


def there(host):
    """systemd runs docker before there is a container."""
    return not host.run("docker inspect jobrunner", check=False).returncode


def line_of(number, words):
    told = f"echo {next(secret)}-secret | " if "secrets set" in words else ""
    return told + cutting.line(number, f"test {words}")


@contextlib.contextmanager
def goes_on(host):
    """Whoever was stopped, where a test fails: else it would hold its lock in all that follow."""
    try:
        yield
    except BaseException:
        found = cutting.stopped_at(host)
        host.run(f"kill -CONT {found.pid if found else ''}", check=False)
        raise


def cut(host, number, words, how):
    """Where it was then: "asked", "worked" by itself, or "" where it had ended before.

    What a watcher tries again after a minute, it tries now.
    """
    where = ""
    cutting.prepare(host)
    with on_terminal(host, line_of(number, words)) as terminal, goes_on(host):
        ended = terminal.process.poll
        wait_until(lambda: ended() is not None or cutting.stopped_at(host), 120)
        found = cutting.stopped_at(host)
        if found:
            where = "worked" if found.by_itself else "asked"
            if found.by_itself and words != UNDO:
                says = status(host)["under_way"]
                assert says
                assert all(map(BY_WHOM.match, says)), says
            # As a terminal's Ctrl-C, which reaches who waits there.
            whom = {"HUP": found.all, "INT": found.all.split()[-1]}.get(how, found.pid)
        if found and how == "reboot":
            host.reboot("systemctl reboot -ff")
        elif found:
            host.run(f"kill -{how} {whom}; kill -CONT {found.pid}", check=False)
            if how != "HUP":
                terminal.end()
    host.run("systemctl start --no-block 'opensafely-watch*'", check=False)
    wait_until(lambda: not cutting.works(host), timeout_s=300)
    return where


def seen(host):
    """The image that runs, the secret that is set and the one that it runs with."""
    (token,) = re.findall(f"^{TOKEN}=(.*)$", host.read(SECRETS), re.M)
    if not active(host):
        return None, token.strip("'"), token.strip("'")
    wait_until(lambda: there(host), timeout_s=90)
    return digest(host), token.strip("'"), environ(host)[TOKEN]


def test_a_maintenance_goes_on_without_its_line_and_is_undone_without_its_process(host):
    """Over ssh, through sudo; `status` says what is under way, by whom, since when."""
    events = len(history(host))
    argv = host.ssh_argv("ada", host.people["ada"].key, "sudo backend host maintenance")
    with talking([argv[0], "-tt", *argv[1:]]) as terminal:
        terminal.until("prepare_for_reboot")
        wait_until(lambda: not active(host), timeout_s=60)
        terminal.process.kill()
        terminal.process.wait()
    wait_until(lambda: not host.run("pgrep -u ada sshd", check=False).stdout)
    (line,) = status(host)["under_way"]
    assert line.startswith("host maintenance by ada, since 2")
    assert f"under way   {line}\n" in manage(host, "status").stdout
    refused(manage(host, "service restart jobrunner"), f"under way: {line}")
    assert not active(host)
    host.run("pkill -9 -f '[e]ntry.py .* test host maintenance'")
    wait_until(lambda: active(host) and not cutting.works(host), timeout_s=60)
    wait_until(lambda: status(host)["under_way"] == [])
    began, undone = history(host)[events:]
    assert (began["event"], began["who"]) == ("host maintenance", "ada")
    assert (undone["event"], undone["subject"]) == ("undo", UNIT)
    assert f"{UNIT} is as before again: {line}, did not end" in host.read(NOTICES)


def test_a_maintenance_ends_though_its_terminal_is_stopped(host, job_runner):
    """Ctrl-S holds up who shows what it says, and Ctrl-Q has all of that shown."""
    events = len(history(host))
    with on_terminal(host, f"{CHECKOUT}/test/manage.sh host maintenance") as terminal:
        terminal.type("\x13")
        done = {"event": "host maintenance", "subject": "ended"}
        wait_until(
            lambda: any(
                done.items() <= each.items() for each in history(host)[events:]
            ),
            timeout_s=300,
        )
        assert active(host)
        assert terminal.process.poll() is None
        terminal.type("\x11")
        assert terminal.end() in (0, 4)
    assert "prepare_for_reboot" in terminal.seen
    assert "docker" in terminal.seen


@pytest.mark.long
def test_a_run_that_dies_leaves_no_image_that_has_not_proved_itself(host, job_runner):
    before = digest(host)
    other = job_runner["v2" if before == job_runner["v1"] else "v1"]
    with edited(host, LOCK, f"jobrunner {before}\n"):
        assert rests(host, words="--only jobrunner")
        for number in range(5, 400, 20):
            with edited(host, LOCK, f"jobrunner {other}\n"):
                cut(host, number, "--only jobrunner", "KILL")
            assert digest(host) == before, number
            assert rests(host, words="--only jobrunner")


def moments(commands):
    """Of each command one way and moment in a run, all of them in `long`."""
    for command in commands:
        chosen = random.Random(f"{commit()} {command}")
        one = chosen.choice(WAYS), chosen.choice(MOMENTS)
        for how in WAYS:
            for moment in MOMENTS:
                marks = () if (how, moment) == one else pytest.mark.long
                yield pytest.param(command, how, moment, marks=marks)


@pytest.fixture(scope="module")
def steps():
    """Of each command, as they were counted."""
    return {}


def asked(host, outside, job_runner, command):
    host.run(f"rm -f {FOLLOWED}")  # or going back is what it does to an image on trial
    new = "v2" if digest(host) == job_runner["v1"] else "v1"
    outside.tag("job-runner", new)
    return COMMANDS[command].format(new=job_runner[new])


@pytest.mark.parametrize(("command", "how", "moment"), [*moments(COMMANDS)])
def test_a_command_that_is_cut_is_done_or_undone(
    host, outside, job_runner, steps, command, how, moment
):
    """What runs is what counts, the history knows of what stays, and no run has anything to do."""
    if command not in steps:
        host.run(line_of(0, asked(host, outside, job_runner, command)))
        steps[command] = cutting.steps(host)
        if command == "stop":
            manage(host, "service start jobrunner")
    was, events = seen(host), len(history(host))
    number = steps[command] * moment // (len(MOMENTS) + 1)
    where = cut(host, number, asked(host, outside, job_runner, command), how)
    wait_until(lambda: settled(host, events, command), timeout_s=60)
    done, now = came_of_it(host, events, command), seen(host)
    print(f"step {number} of {steps[command]}: {where}; {done}; {was}; {now}")
    assert now[1] == now[2], "it runs with what is set"
    changed = {"stop": now[0] is None, "secrets": was[1] != now[1]}
    assert changed.get(command, was[0] != now[0]) is (
        done and command not in ("restart", "maintenance")
    )
    if how == "HUP" and where:
        assert done is (where == "worked"), "a line is no reason for another end"
    assert host.run(f"ls {TRIAL}", check=False).returncode
    found = status(host)
    assert found["under_way"] == []
    assert not [each for each in found["degraded"] if "trial" in each]
    if command == "follow" and done:
        assert json.loads(host.read(FOLLOWED))["trial"] == now[0]
    if command == "stop":
        manage(host, "service start jobrunner")
    assert rests(host, words="--only jobrunner")


def came_of_it(host, events, command):
    """Whether it is done, by the history, and was not undone."""
    said = history(host)[events:]
    if command == "maintenance":
        said = [line for line in said if line.get("subject") != "began"]
    if command == "follow":  # that it may follow again is another line
        said = [line for line in said if "after" in line or line["event"] == "undo"]
    last = [line for line in said if line.get("event") in (DONE[command], "undo")][-1:]
    return [line["event"] for line in last if line.get("outcome") != "as before"] == [
        DONE[command]
    ]


def settled(host, events, command):
    """The service is as it should be by what the history says of it."""
    stays = command == "stop" and came_of_it(host, events, command)
    return not active(host) if stays else active(host) and there(host)


def dies_after(host, words, program="no such"):
    argv = f"python3 -I -S - {words}"
    host.run(argv, stdin=DIES_AFTER.format(CHECKOUT, program), check=False)
    wait_until(lambda: not cutting.works(host), timeout_s=60)


def test_who_dies_right_after_a_trial_has_written_it_all_down(
    host, outside, job_runner
):
    """That it is on trial until a first job; and that a person chose, whom nothing overrules."""
    asked(host, outside, job_runner, "follow")
    before = digest(host)
    dies_after(host, "service follow jobrunner")
    now = digest(host)
    assert now != before
    assert history(host)[-1]["after"] == now
    assert json.loads(host.read(FOLLOWED))["trial"] == now
    assert f"{now} is on trial until a first job" in manage(host, "status").stdout
    dies_after(host, "service rollback jobrunner --yes")
    assert digest(host) == before
    assert history(host)[-1]["event"] == "service rollback"
    host.run("systemctl start opensafely-follow@jobrunner")
    assert digest(host) == before
    assert "held by root" in manage(host, "status").stdout
    assert manage(host, "service follow jobrunner").returncode == 0


@pytest.mark.long
def test_who_dies_in_a_trial_takes_no_note_along(host, outside, job_runner):
    """What it is on trial at, and what went back, is as it was, too."""
    asked(host, outside, job_runner, "follow")
    dies_after(host, "service follow jobrunner")
    before, note = digest(host), host.read(FOLLOWED)
    outside.tag("job-runner", "v1" if before == job_runner["v2"] else "v2")
    events = len(history(host))
    argv = f"{CHECKOUT}/test/manage.sh service follow jobrunner"
    with on_terminal(host, argv) as terminal:
        wait_until(lambda: there(host) and digest(host) != before, timeout_s=60)
        host.run("pkill -9 -f '[e]ntry.py .* test service follow'")
        terminal.end()
    host.run("systemctl start --no-block 'opensafely-watch*'", check=False)
    wait_until(lambda: not cutting.works(host), timeout_s=60)
    wait_until(lambda: there(host) and digest(host) == before, timeout_s=60)
    assert json.loads(host.read(FOLLOWED)) == json.loads(note)
    said = [line["event"] for line in history(host)[events:]]
    assert said == ["service follow", "undo"]


def test_who_dies_as_a_file_is_brought_back_has_told_it(host):
    """Of one at stake, and of a service; whoever comes next finds nothing that differs."""
    path = "/etc/ssh/ssh_config.d/at-stake.conf"
    host.run(f"echo before > {path}")
    host.run("python3 -I -", stdin=AT_STAKE.format(CHECKOUT, path))
    host.run(f"echo after > {path}")
    events = len(history(host))
    dies_after(host, UNDO, "systemctl reload")
    assert host.read(path) == "before\n"
    assert manage(host, UNDO).returncode == 0
    told = [(line["event"], line["subject"]) for line in history(host)[events:]]
    assert told[:1] == [("undo", path)]
    host.run(f"rm {path}")


@pytest.mark.long
def test_who_dies_as_an_undo_ends_has_told_it(host, job_runner):
    left_behind(host)
    events = len(history(host))
    dies_after(host, UNDO)
    told = [(line["event"], line["subject"]) for line in history(host)[events:]]
    assert ("undo", UNIT) in told
    wait_until(lambda: active(host) and there(host), timeout_s=60)


def test_who_dies_as_a_job_is_killed_has_told_it(host, controller, job_runner):
    """And what comes right after somebody who died tells of that, too."""
    with jobbing.running(host, controller) as job:
        dies_after(host, f"job kill --yes {job.id}", "docker kill")
        assert history(host)[-1]["event"] == "job kill"
        assert history(host)[-1]["subject"] == job.id
    host.run("python3 -I -", stdin=DIES, check=False)
    events = len(history(host))
    done = manage(host, "service restart jobrunner")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: not cutting.works(host), timeout_s=60)
    assert "undo" in [line["event"] for line in history(host)[events:]]


def undo_moments():
    """One way and moment in a run, all of them in `long`."""
    chosen = random.Random(f"{commit()} undo")
    one = chosen.choice(WAYS), chosen.choice(MOMENTS)
    for how in WAYS:
        for moment in MOMENTS:
            marks = () if (how, moment) == one else pytest.mark.long
            yield pytest.param(how, moment, marks=marks)


def left_behind(host):
    """A service is stopped for a while, by somebody who is gone, and nobody has put it back."""
    host.run(f"mkdir -p {FAILS.rpartition('/')[0]}; cat > {FAILS}", stdin=BRINGS_NONE)
    host.run("systemctl daemon-reload")
    host.run("python3 -I -", stdin=DIES, check=False)
    failed = "systemctl show -p SubState --value 'opensafely-watch*'"
    wait_until(lambda: "auto-restart" in host.run(failed).stdout, timeout_s=60)
    host.run(f"rm {FAILS}; systemctl daemon-reload")
    assert not host.run(f"test -e {TRIAL}", check=False).returncode
    assert not active(host)


@pytest.mark.parametrize(("how", "moment"), [*undo_moments()])
def test_an_undo_that_is_cut_is_made_again(host, job_runner, steps, how, moment):
    """By its watcher, or by the boot; without its line it goes on."""
    before = seen(host)
    if UNDO not in steps:
        left_behind(host)
        host.run(line_of(0, UNDO))
        steps[UNDO] = cutting.steps(host)
    left_behind(host)
    number = steps[UNDO] * moment // (len(MOMENTS) + 1)
    where = cut(host, number, UNDO, how)
    print(f"step {number} of {steps[UNDO]}: {where}")
    wait_until(lambda: active(host) and there(host), timeout_s=60)
    assert seen(host) == before
    assert host.run(f"ls {TRIAL}", check=False).returncode
    found = status(host)
    assert found["under_way"] == []
    assert not [each for each in found["degraded"] if "trial" in each]
    assert rests(host, words="--only jobrunner")
