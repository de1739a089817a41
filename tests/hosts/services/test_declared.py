"""What a backend declares for its agent: a disk with archives, and whom it tells of what it does."""

from __future__ import annotations

import json

import pytest

from sandbox import fixtures
from sandbox.answer import Answer
from sandbox.outside import COLLECTOR
from tests.hosts.managing import CHECKOUT, manage, refused
from tests.hosts.programs import wait_until
from tests.hosts.services.running import (
    SECRETS,
    UNIT,
    environ,
    inside,
    listed,
    polls_again,
    starts_anew_quickly,
)


pytestmark = [pytest.mark.share("agent"), pytest.mark.one_of("agent", "is given")]
HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
SET = f"{CHECKOUT}/test/manage.sh service secrets set {HEADERS}"
SECRET = "Basic Wagon4-Thimble-Fern"
DISK, ARCHIVES = "/srv/high_privacy/archive", "/srv/high_privacy/archive/kept"
MOUNT = "srv-high_privacy-archive.mount"
AWAY = f"jobrunner does not run while nothing is mounted at {DISK}"


@pytest.fixture(scope="module")
def host(shared_warm_host):
    host = shared_warm_host("test", shape=[fixtures.hurried], legacy_cgroups=True)
    starts_anew_quickly(host)
    return host


def declare(host, line):
    at = f"{CHECKOUT}/test/backend.py"
    host.run(f"sed -i 's|^    dummy_data=True|    {line}\\n&|' {at}")


def ran(host, controller, **fields):
    job = controller.add("test", "-c", "pass", **fields)
    assert controller.wait(job.task)["results"]["exit_code"] == 0
    return job


# ---- telemetry


def test_nothing_is_told_to_anybody_where_it_is_not_declared(host, outside, controller):
    """Also where somebody puts the secret and another place into the files by hand."""
    refused(host.run(SET, stdin=SECRET, check=False), f"{HEADERS!r} is no secret here")
    host.run(f"cp -a {SECRETS} /root/")
    other = "OTEL_EXPORTER_OTLP_ENDPOINT=https://collector.opensafely.org"
    host.run(f"cat >> {SECRETS}", stdin=f"{HEADERS}=Authorization={SECRET}\n{other}\n")
    assert manage(host, "service restart jobrunner").returncode == 0
    ran(host, controller)
    # Longer than what exports them waits.
    polls_again(host, outside)
    wait_until(lambda: len(controller.polls(0, host.address)) > 8)
    assert not [name for name in environ(host) if name.startswith("OTEL_EXPORTER")]
    assert outside.collected(host.address) == []
    notes = listed(host)["notes"]
    assert f"has nothing of {HEADERS}: telemetry is not declared" in notes
    host.run(f"mv /root/02_secrets.env {SECRETS}")


def test_what_is_declared_is_told_to_that_place_alone(host, outside, controller):
    declare(host, 'telemetry="https://collector.opensafely.org",')
    done = manage(host, "--offline")
    assert f"jobrunner has no value for {HEADERS} in" in done.stdout
    assert done.returncode == 4, done.stdout + done.stderr
    done = host.run(SET, stdin=f"Authorization={SECRET}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert manage(host, "--offline").returncode == 0
    job = ran(host, controller, workspace="w1")
    wait_until(lambda: job.id in str(outside.collected(host.address)))
    (told, *_) = outside.collected(host.address)
    assert told["authorization"] == SECRET
    assert json.loads(told["body"])["resource"] == "rap.backend=test,backend=test"
    assert environ(host)["OTEL_SEMCONV_STABILITY_OPT_IN"] == "http"


@pytest.mark.parametrize(
    "answer", [Answer(b"", 0, ends=False), Answer(b"no", 503)], ids=["hangs", "refuses"]
)
def test_who_is_told_and_does_not_listen_holds_no_job_up(
    host, outside, controller, answer
):
    outside.answer(COLLECTOR, "*", answer)
    ran(host, controller)
    ran(host, controller)
    assert listed(host)["state"] == "running"
    assert manage(host, "service restart jobrunner").returncode == 0


# ---- archives on a disk of their own


def on_disk(host):
    """Who may look into it; and a workspace that is archived there."""
    host.run(f"install -d -o opensafely -g researchers -m 2750 {ARCHIVES}")
    host.run(f"touch {ARCHIVES}/w9.tar.gz")


def test_no_job_is_begun_while_the_disk_is_away(host, outside, controller):
    """Before it comes, once it is here, and when it is taken away."""
    declare(host, f'archives="{ARCHIVES}", archives_disk="{DISK}",')
    host.run(
        f"echo disk {DISK} tmpfs nofail,size=1m 0 0 >> /etc/fstab; mkdir -p {DISK}"
    )
    host.run("systemctl daemon-reload")
    done = manage(host, "--offline")
    assert (done.returncode, AWAY in done.stdout) == (4, True), (
        done.stdout + done.stderr
    )
    job = controller.add("test", "-c", "pass", workspace="w9")
    refused(manage(host, "service start jobrunner"), AWAY)
    host.run(f"mount {DISK}")
    on_disk(host)
    assert manage(host, "--offline").returncode in (0, 4)
    wait_until(lambda: listed(host)["erring"], timeout_s=60)
    assert "archived" in listed(host)["erring"][0]["error"]
    assert environ(host)["HIGH_PRIVACY_ARCHIVE_DIR"] == ARCHIVES
    assert (
        f"{ARCHIVES}:2750:opensafely" in host.run(f"stat -c %n:%a:%U {ARCHIVES}").stdout
    )
    ran(host, controller)
    host.run(f"umount {DISK}")
    wait_until(lambda: listed(host)["state"] == "stopped")
    assert AWAY in manage(host, "status").stdout
    assert controller.stages(job.task) == ["preparing"]


def test_the_disk_is_waited_for_at_boot(host, outside, controller):
    job = controller.add("test", "-c", "pass", workspace="w9")
    # Without its defaults: with them it waits for the local file systems, this one among them, and
    # systemd breaks that circle at another place each time.
    slow = "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=/bin/sleep 6\n"
    host.run("cat > /etc/systemd/system/slow.service", stdin=slow)
    host.run("sed -i 's|nofail,|x-systemd.requires=slow.service,|' /etc/fstab")
    host.reboot()
    polls_again(host, outside)
    since = "systemctl show --value -p ActiveEnterTimestampMonotonic"
    mounted, began = (int(host.run(f"{since} {u}").stdout) for u in (MOUNT, UNIT))
    assert mounted < began
    # Once, and not another time beneath the tree, where it would stay.
    assert host.run(f"grep -c ' {DISK} ' /proc/self/mountinfo").stdout == "1\n"
    # Its archives are gone with the tmpfs: what is asked here is the order.
    assert f" {DISK} " in inside(host, "cat /proc/self/mountinfo")
    host.run(f"umount {DISK}")
    wait_until(lambda: listed(host)["state"] == "stopped")
    controller.withdraw(job.task)
