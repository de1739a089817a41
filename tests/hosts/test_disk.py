"""What fills the disks is shown, images that nothing uses go, and a full disk is survived."""

from __future__ import annotations

import json

import pytest

from tests.hosts.jobbing import UNIT, finish, running, status
from tests.hosts.managing import history, manage
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


@pytest.mark.parametrize(("days", "unwell"), [(90, False), (13, True), (0, True)])
def test_certificates(host, days, unwell):
    place = "/etc/opensafely/certificates/x.crt"
    host.run(
        "cd /tmp && openssl req -x509 -newkey rsa:2048 -nodes -keyout x.key "
        f"-subj /CN=x -days {days} -out {place} 2>/dev/null"
    )
    found = status(host, 4 if unwell else 0)
    assert found["certificates"] == [{"path": place, "days": days}]
    host.run(f"rm {place}")


def test_a_full_disk_of_docker(shared_warm_host, controller):
    """Said at 90 %, not hidden by a run, and mended by room alone."""

    def small(host):
        host.small = host.overlay.docker
