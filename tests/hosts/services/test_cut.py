"""Lines that are cut, and processes that die, while a service is stopped or tried for a while."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.hosts.managing import CHECKOUT, edited, history, manage, refused, rests
from tests.hosts.programs import on_terminal, talking, wait_until
from tests.hosts.services.running import UNIT, digest
from tests.sampling import commit, one_of


pytestmark = pytest.mark.share("outputs")
CUT = Path(__file__).parents[1] / "cut.py"
ENTRY = f"{CHECKOUT}/backend_server/entry.py {CHECKOUT}"
LOCK = f"{CHECKOUT}/test/images.lock"
NOTICES = "/var/lib/opensafely/notices"
TRIAL = "/var/lib/opensafely/on-trial"
# From the pull of an image to the end of its trial: before, in and after each step of it.
MOMENTS = range(1, 21)
CUTS = one_of("what cuts an update", "HUP", "TERM", "INT", "KILL", "reboot")


@pytest.fixture(scope="module")
def host(shared_warm_host):
    """Whose services have proved themselves after two seconds."""
    host = shared_warm_host("test")
    host.run("cat > /root/cut.py", stdin=CUT.read_text())
    at = f"{CHECKOUT}/backend_server/checkout/service.py"
    host.run(f"sed -i 's/steady_s: int = 15/steady_s: int = 2/' {at}")
    assert manage(host).returncode == 0
    return host


@pytest.fixture
def job_runner(sandbox):
    return sandbox.images.digests["opensafely-core/job-runner"]


def status(host):
    return json.loads(manage(host, "status --json").stdout)


def active(host, unit=UNIT):
    done = host.run(f"systemctl is-active {unit}", check=False)
    return done.stdout.strip() == "active"


def there(host):
    """systemd runs docker before there is a container."""
    return not host.run("docker inspect jobrunner", check=False).returncode


def stopped_at(host):
    """The process that stopped itself; none where it came to its end before."""
    pid = host.run("cat /run/cut 2>/dev/null", check=False).stdout.strip()
    stat = host.run(f"cat /proc/{pid or 0}/stat 2>/dev/null", check=False).stdout
    return pid if stat.rpartition(")")[2].split()[:1] == ["T"] else ""


def nobody_works(host):
    """Neither the tool nor what watches it."""
    working = host.run("pgrep -f '[e]ntry.py .* test|[c]ut.py'", check=False).stdout
    left = "systemctl list-units --all --no-legend 'opensafely-watch*'"
    return not working and not host.run(left).stdout


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
    wait_until(lambda: active(host) and nobody_works(host), timeout_s=60)
    wait_until(lambda: status(host)["under_way"] == [])
    began, undone = history(host)[events:]
    assert (began["event"], began["who"]) == ("host maintenance", "ada")
    assert (undone["event"], undone["subject"]) == ("undo", UNIT)
    assert f"{UNIT} runs again as before: {line}, did not end" in host.read(NOTICES)


@pytest.mark.long
def test_a_run_that_dies_leaves_no_image_that_has_not_proved_itself(host, job_runner):
    command = f"exec python3 -I -S /root/cut.py {{}} {ENTRY} test --only jobrunner"
    for moment in range(1, 12):
        host.run("rm -f /run/cut")
        with edited(host, LOCK, f"jobrunner {job_runner['v2']}\n"):
            with on_terminal(host, command.format(moment)) as terminal:
                wait_until(lambda: stopped_at(host) or terminal.process.poll() == 0, 60)
                host.run(f"kill -9 {stopped_at(host)}", check=False)
            wait_until(lambda: nobody_works(host), timeout_s=90)
        wait_until(lambda: active(host) and there(host), timeout_s=90)
        assert digest(host) == job_runner["v1"]
        assert rests(host, words="--only jobrunner")


def moments(how):
    """Two of them in a run, all of them in `long`."""
    chosen = random.Random(f"{commit()} {how}").sample(MOMENTS, 2)
    return [
        pytest.param(n, marks=() if n in chosen else pytest.mark.long) for n in MOMENTS
    ]


@pytest.mark.parametrize("how", CUTS)
@pytest.mark.parametrize("moment", moments("moments"))
def test_an_update_that_is_cut_is_done_or_undone(host, job_runner, how, moment):
    """What runs is what counts, the history knows of what stays, and no run has anything to do."""
    old, new = job_runner["v1"], job_runner["v2"]
    events = len(history(host))
    host.run("rm -f /run/cut")
    words = f"test service update jobrunner --yes --to {new}"
    command = f"exec python3 -I -S /root/cut.py {moment} {ENTRY} {words}"
    with on_terminal(host, command) as terminal:
        wait_until(lambda: stopped_at(host) or terminal.process.poll() is not None, 60)
        pid = stopped_at(host)
        if how in ("TERM", "INT", "KILL") and pid:
            host.run(f"kill -{how} {pid}; kill -CONT {pid}", check=False)
            terminal.end()
    if how == "HUP" and pid:
        host.run(f"kill -CONT {pid}")
    if how == "reboot":
        host.reboot("systemctl reboot -ff")
    wait_until(lambda: nobody_works(host), timeout_s=90)
    wait_until(lambda: active(host) and there(host), timeout_s=90)
    found, said = digest(host), history(host)[events:]
    assert found in (old, new)
    assert host.run(f"ls {TRIAL}", check=False).returncode
    if found == new:
        assert any(line.get("after") == new for line in said), said
    assert rests(host, words="--only jobrunner")
    assert digest(host) == found
    if found == new:
        done = manage(host, f"service update jobrunner --yes --to {old}")
        assert done.returncode == 0, done.stderr
