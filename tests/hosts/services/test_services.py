"""The job-runner as a service: what its container sees and may do, and what brings it back."""

import re
import shlex
import time

import pytest

from sandbox.outside import CONTROLLER
from tests.hosts.managing import CHECKOUT, manage, rests
from tests.hosts.programs import in_background, wait_until
from tests.hosts.services.running import (
    LOCAL,
    SECRETS,
    UNIT,
    environ,
    inside,
    inspected,
    listed,
    polls_again,
    started,
)
from tests.unit.checkout.test_env import LINES


pytestmark = pytest.mark.share("job-runner")


@pytest.fixture(scope="module")
def host(shared_warm_host):
    return shared_warm_host("test")


def test_it_polls_and_a_run_has_nothing_to_do(host, outside):
    polls_again(host, outside)
    # Once it has been up for as long as three polls take.
    wait_until(lambda: (listed(host)["last_poll"] or "") >= minute_ago(), 60)
    assert rests(host)
    found = listed(host)
    assert (found["state"], found["restarts"], found["lacks"]) == ("running", 0, [])
    assert "Error" not in host.run(f"journalctl -u {UNIT}").stdout


def minute_ago():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60))


def test_the_container_is_confined(host):
    status = inside(host, "cat /proc/self/status")
    assert re.search(r"^Uid:\t10000\t10000", status, re.MULTILINE)
    docker = host.run("getent group docker").stdout.split(":")[2]
    groups = re.search(r"^Groups:(.*)$", status, re.MULTILINE).group(1).split()
    assert {"10000", docker} >= set(groups) >= {docker}
    assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
    assert re.search(r"^CapBnd:\t0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)
    tried = "for at in / /etc /app /srv /workdir /tmp /etc/opensafely/certificates; do "
    tried += "touch $at/x 2>/dev/null && echo $at && rm $at/x; done"
    assert inside(host, tried).split() == ["/workdir", "/tmp"]
    writes = "touch /srv/high_privacy/workspaces/x && rm /srv/high_privacy/workspaces/x && echo yes"
    assert inside(host, writes) == "yes\n"


def test_nothing_that_root_runs_for_it_is_somebody_elses(host):
    """Neither the unit, its settings, its environment nor a program of it, nor a folder above."""
    files = f"/etc/systemd/system/{UNIT} /etc/opensafely/services/jobrunner {SECRETS} "
    files += f"/run/opensafely/env/jobrunner {CHECKOUT}/test/manage.sh /usr/bin/docker"
    script = (
        f"for at in {files}; do while [ $at ]; do "
        "stat -L -c '%n %U %A' $at; at=${at%/*}; done; done"
    )
    for line in host.run(script).stdout.splitlines():
        _, owner, mode = line.split()
        assert owner == "root", line
        assert mode[5] != "w", line
        assert mode[8] != "w", line


def test_it_knows_names_without_dns_and_numbers_without_people(host):
    assert "nameserver 192.0.2.0" in inside(host, "cat /etc/resolv.conf")
    ask = "python3 -c 'import socket; print(socket.gethostbyname(\"{}\"))' 2>&1"
    known = inside(host, ask.format("controller.opensafely.org"))
    assert known == "157.245.31.108\n"
    assert "gaierror" in inside(host, ask.format("example.org"))
    assert inside(host, "cat /etc/hosts") == host.read("/etc/hosts")
    names = inside(host, "cut -d: -f1 /etc/passwd /etc/group").split()
    assert set(names) == {"root", "opensafely", "nobody", "nogroup"}
    assert inside(host, "id -un; id -gn").split() == ["opensafely", "opensafely"]


def test_the_container_sees_what_the_files_say(host):
    """Every kind of line, by hand in 04_local.env; the next run restarts it, and shows no value."""
    good = [(line, value) for line, value in LINES if value is not None]
    names = [f"T{number}" for number in range(len(good))]
    lines = [line.replace("A=", f"{name}=", 1) for name, (line, _) in zip(names, good)]
    before = host.read(LOCAL)
    host.run(f"cat > {LOCAL}", stdin=before + "\n".join([*lines, "LATER=04\n"]))
    host.run(f"echo 'LATER=02' >> {SECRETS}")
    plan = manage(host, "plan")
    assert plan.returncode == 3
    assert re.search(
        "environment: before LATER, T0, .* changed -> as the files say", plan.stdout
    )
    assert "after blanks" not in plan.stdout
    done = manage(host)
    assert done.returncode == 0, done.stdout + done.stderr
    found = environ(host)
    assert {name: found[name] for name in names} == {
        n: v for n, (_, v) in zip(names, good)
    }
    wanted = {"LATER": "04", "JOB_LOOP_INTERVAL": "5", "STATS_POLL_INTERVAL": "30"}
    wanted |= {"BACKEND": "test", "USING_DUMMY_DATA_BACKEND": "true", "HOME": "/tmp"}
    wanted |= {"DOCKER_PROXY": "docker-proxy.opensafely.org/opensafely-core"}
    assert wanted.items() <= found.items()
    host.run(f"cat > {LOCAL}", stdin=before)
    host.run(f"sed -i '/^LATER/d' {SECRETS}")
    assert manage(host).returncode == 0
    assert "T0" not in environ(host)
    assert rests(host)


def test_a_bad_line_is_named_and_what_runs_goes_on(host):
    before, since = host.read(LOCAL), started(host)
    host.run(f"cat > {LOCAL}", stdin="# mine\nA='hunter2\n")
    done = manage(host)
    assert done.returncode == 4
    assert f"degraded: {LOCAL}:2: the quote that opens the value of A" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr
    assert started(host) == since
    host.run(f"cat > {LOCAL}", stdin=before)
    assert rests(host)


def test_hosts_replaced_by_rename(host):
    """A file that is mounted singly stays the old one; the next run starts the service anew."""
    host.run(
        "cp -a /etc/hosts /etc/hosts.new; echo 192.0.2.9 newcomer >> /etc/hosts.new"
    )
    host.run("mv /etc/hosts.new /etc/hosts")
    assert "newcomer" not in inside(host, "cat /etc/hosts")
    plan = manage(host, "plan")
    assert "mounts: +/etc/hosts:/etc/hosts:ro" in plan.stdout
    assert manage(host).returncode == 0
    assert "newcomer" in inside(host, "cat /etc/hosts")
    assert rests(host)


def test_another_container_by_that_name_is_seen(host):
    """As somebody may leave it who tried something by hand: more may than was declared."""
    image = inspected(host)["Config"]["Image"]
    host.run(
        f"docker rm -f jobrunner; docker run -d --name jobrunner -u 0 {image} sleep 600; systemctl stop {UNIT}",
        check=False,
    )
    host.run(
        f"docker rm -f jobrunner; docker run -d --name jobrunner -u 0 {image} sleep 600"
    )
    plan = manage(host, "plan")
    assert "running: False -> True" in plan.stdout
    assert manage(host).returncode == 0
    assert inspected(host)["Config"]["User"] == "10000:10000"
    assert rests(host)


def test_killed_between_the_unit_and_its_restart(host):
    """The file is there, systemd has read it, and the run dies: the next one restarts it."""
    since = started(host)
    path = f"{CHECKOUT}/backend_server/services/component.py"
    text = host.read(path)
    host.run(f"cat > {path}", stdin=text.replace("size=256m", "size=255m"))
    try:
        with in_background(host, f"{CHECKOUT}/test/manage.sh") as run:
            # There and then: a look from here takes as long as what comes next.
            there = f"systemctl cat {UNIT} | grep -q size=255m"
            host.run(f"until {there}; do :; done; pkill -9 -f '[e]ntry.py .* test'")
            run.end()
        if started(host) != since:  # it came as far as the restart
            pytest.fail("killed too late to mean anything")
        done = manage(host)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "size=255m" in inspected(host)["HostConfig"]["Tmpfs"]["/tmp"]
        assert rests(host)
    finally:
        host.run(f"cat > {path}", stdin=text)
    assert manage(host).returncode == 0


def test_controller_down(host, outside):
    """A restart loop is said by every look, with the last good poll, and heals by itself."""
    wait_until(lambda: listed(host)["last_poll"], timeout_s=60)
    outside.stop((CONTROLLER,))
    wait_until(lambda: listed(host)["restarts"] >= 3, timeout_s=60)
    found = listed(host)
    assert found["state"] == "restarting"
    assert found["last_poll"]
    assert "WARNING" not in found["last_line"]
    assert found["last_line"]
    done = manage(host)
    assert done.returncode == 4
    assert "degraded: jobrunner starts again and again: " in done.stdout
    assert "exit status 1, last good poll 2" in done.stdout
    outside.start()
    polls_again(host, outside)
    wait_until(lambda: listed(host)["state"] == "running", 60)
    assert rests(host)


@pytest.mark.parametrize(
    "command",
    [
        "systemctl restart docker",
        "systemctl stop docker; sleep 1; systemctl start docker",
        "docker rm -f jobrunner",
        "docker kill jobrunner",
    ],
    ids=shlex.quote,
)
def test_it_comes_back_by_itself(host, outside, command):
    since = started(host)
    host.run(command)
    wait_until(
        lambda: (
            host.run("docker inspect jobrunner", check=False).returncode == 0
            and started(host) != since
        )
    )
    polls_again(host, outside)


def test_it_comes_back_after_a_reboot(host, outside):
    host.reboot()
    polls_again(host, outside)
    wait_until(lambda: listed(host)["state"] == "running", 60)
    assert rests(host)


def test_stop_and_start_by_command(host):
    assert manage(host, "service stop jobrunner").returncode == 0
    assert listed(host)["state"] == "stopped"
    assert manage(host, "service start jobrunner").returncode == 0
    assert listed(host)["state"] == "running"
    unknown = manage(host, "service stop jobruner")
    assert unknown.returncode == 2
    assert "choose from jobrunner" in unknown.stderr
    logs = manage(host, "service logs jobrunner").stdout
    assert "loop started" in logs
    assert "Started opensafely-jobrunner.service" in logs
    for name in ("ada", "grace"):
        done = host.ssh(name, host.people[name].key, "sudo -n backend service list")
        assert "jobrunner    running" in done.stdout
