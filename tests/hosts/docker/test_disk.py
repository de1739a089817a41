"""What fills the disks is shown, images that nothing uses go, and a full disk is survived."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.hosts.jobs.jobbing import (
    UNIT,
    at_work,
    finish,
    give,
    running,
    settled,
    status,
)
from tests.hosts.managing import history, manage, rests
from tests.hosts.programs import wait_until


pytestmark = pytest.mark.share("job-runner")
SEEN = "/var/lib/opensafely/images-seen.json"
PROXY = "docker-proxy.opensafely.org/opensafely-core"


@pytest.fixture(scope="module")
def host(shared_warm_host):
    return shared_warm_host("test", legacy_cgroups=True)


def images(host):
    return {*host.run("docker images -q --no-trunc").stdout.split()}


def build(host, name):
    """An image of its own id."""
    done = host.run(
        f"echo {name} > /tmp/{name}; tar c -C /tmp {name} | docker import - {name}"
    )
    return done.stdout.strip()


def old(host, *ids):
    """Nothing has used these for a long time, by what is known here."""
    seen = json.loads(host.run(f"cat {SEEN}").stdout)
    seen.update(dict.fromkeys(ids, "2020-01-01"))
    host.run(f"cat > {SEEN}", stdin=json.dumps(seen))


def test_what_fills_the_disks(host):
    place = "/srv/medium_privacy/workspaces/long-covid"
    host.run(f"mkdir -p {place} && head -c 3M /dev/zero > {place}/big.csv")
    found = json.loads(manage(host, "host disk --json").stdout)
    usage = {each["path"]: each["bytes"] for each in found["usage"]}
    assert usage["docker's images"] > 50e6
    assert usage["/srv/medium_privacy/workspaces"] > 3e6
    (first, *_) = found["workspaces"]
    assert first["path"] == place
    assert first["bytes"] > 3e6
    assert found["unknown"] == []
    whole = [path for each in found["file_systems"] for path in each["places"]]
    assert {"/", "/srv/high_privacy", "/var/lib/docker"} <= {*whole}
    said = manage(host, "host disk").stdout
    assert f"3 MB  {place}\n" in said
    assert "big.csv" not in said
    host.run(f"rm -r {place}")


def test_tidy(host, controller):
    """Of images long unused those go that no container, service or recent job needs."""
    with running(host, controller) as job:
        job_image = host.run(
            f"docker inspect -f '{{{{.Image}}}}' {job.container}"
        ).stdout.strip()
        finish(host, controller, job)
    wait_until(lambda: host.run("docker ps -aq --filter label=job-runner").stdout == "")
    unused, stopped, new = (build(host, name) for name in ("unused", "stopped", "new"))
    host.run("docker create --name stopped stopped /bin/true")
    previous = host.run(f"docker pull -q {PROXY}/job-runner:v2").stdout.strip()
    assert previous
    previous_id = host.run(
        f"docker inspect -f '{{{{.Id}}}}' {PROXY}/job-runner:v2"
    ).stdout.strip()
    digest = host.run(
        f"docker inspect -f '{{{{index .RepoDigests 0}}}}' {previous_id}"
    ).stdout.strip()
    host.run(f"sed -i '/^PREVIOUS=/d' {SETTINGS}; echo PREVIOUS={digest} >> {SETTINGS}")
    assert manage(host, "host tidy").stdout.endswith(
        "test host tidy: 0 images removed, 0 B\n"
    )
    here = images(host)
    old(host, *(here - {new}))
    done = manage(host, "host tidy --json")
    assert done.returncode == 0, done.stderr
    assert here - images(host) == {unused}
    assert json.loads(done.stdout)["removed"] == ["unused:latest"]
    assert {job_image, stopped, new, previous_id} <= images(host)
    assert history(host)[-1]["event"] == "host tidy"
    host.run("docker rm stopped")
    host.run("touch -d '40 days ago' /srv/high_privacy/logs/*/*/metadata.json")
    old(host, *(images(host) - {new}))
    manage(host, "host tidy")
    assert not {job_image, stopped} & images(host)
    assert {new, previous_id} <= images(host)
    assert host.run(f"systemctl is-active {UNIT}").stdout == "active\n"


SETTINGS = "/etc/opensafely/services/jobrunner"


def test_nothing_goes_while_a_job_waits_to_start(host):
    unused = build(host, "unused")
    manage(host, "host tidy")
    old(host, unused)
    host.run("mkdir /srv/high_privacy/volumes/waits")
    done = manage(host, "host tidy")
    assert "no image is removed while a job waits to start: waits" in done.stdout
    assert unused in images(host)
    host.run("touch -d '2 days ago' /srv/high_privacy/volumes/waits")
    manage(host, "host tidy")
    assert unused not in images(host)
    host.run("rmdir /srv/high_privacy/volumes/waits")


def test_the_timer_tidies(host):
    unused = build(host, "unused")
    manage(host, "host tidy")
    old(host, unused)
    assert host.run("systemctl is-active opensafely-tidy.timer").returncode == 0
    host.run("systemctl start opensafely-tidy.service")
    assert unused not in images(host)


@pytest.mark.parametrize(("days", "unwell"), [(90, False), (13, True)])
def test_certificates(host, days, unwell):
    place = "/etc/opensafely/certificates/x.crt"
    host.run(
        "cd /tmp && openssl req -x509 -newkey rsa:2048 -nodes -keyout x.key "
        f"-subj /CN=x -days {days} -out {place} 2>/dev/null"
    )
    found = status(host, 4 if unwell else 0)
    assert {"path": place, "days": days} in found["certificates"]
    sentence = f"{place} ends in {days} days"
    assert (sentence in found["degraded"]) == unwell
    host.run(f"echo none > {place}")
    assert f"{place} cannot be read as a certificate" in status(host, 4)["degraded"]
    host.run(f"rm {place}")
    assert place not in {each["path"] for each in status(host)["certificates"]}


def small_disk(host):
    """docker's data is on a file system of its own that is soon full."""
    place = host.overlay.docker
    whole = place.with_name("docker.whole")
    shell = (
        f"mv {place} {whole}; mkdir {place}; mount -t tmpfs -o size=500m none {place}"
    )
    subprocess.run(f"set -e; {shell}; cp -a {whole}/. {place}", shell=True, check=True)


def test_a_full_disk_of_docker(shared_warm_host, controller):
    """Said by status, no reason for a run to fail, and mended by room alone."""
    host = shared_warm_host("test", legacy_cgroups=True, shape=[small_disk])
    # Out of sight here, and gone with the host.
    subprocess.run(["umount", "--lazy", host.overlay.docker], check=True)
    host.run("head -c 1G /dev/zero > /var/lib/docker/fill || true")
    found = status(host, 4)
    assert found["disks"][0]["places"] == ["/var/lib/docker"]
    assert found["disks"][0]["percent"] == 100
    sentence = "the disk of /var/lib/docker: 100 % in use, 0 B free"
    assert any(sentence in line for line in found["degraded"])
    done = manage(host, "host disk")
    assert done.returncode == 4
    assert done.stdout.startswith("/var/lib/docker: 100 % in use")
    assert manage(host).returncode in (0, 4)
    assert manage(host, "plan --offline").returncode in (0, 4)
    job = give(controller)
    try:
        wait_until(lambda: loops(host), timeout_s=120)
        said = status(host, 4)["degraded"]
        errs = ("errs since", "no space left on device")
        assert any(all(word in line for word in errs) for line in said), said
        host.run("rm /var/lib/docker/fill")
        wait_until(lambda: at_work(host, job), timeout_s=120)
        assert finish(host, controller, job)["exit_code"] == 0
    finally:
        controller.withdraw(job.task)
    settled(host)
    assert rests(host)


def loops(host):
    return any(
        "again" in line
        for line in json.loads(manage(host, "status --json").stdout)["degraded"]
    )
