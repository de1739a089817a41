"""What docker says of containers and images, and which jobs could do more than they should."""

import copy

import pytest

from backend_server.docker.containers import parse_containers, parse_images, unconfined


IMAGE = "docker-proxy.opensafely.org/opensafely-core/python@sha256:" + "7" * 64
ID = "sha256:" + "1" * 64
VOLUME = "/srv/high_privacy/volumes/7kqj2abc"
# Of docker-inspect(1) 20.10, less what nobody here reads.
JOB = {
    "Id": "4b0d" * 16,
    "Created": "2026-11-25T03:59:58.501263147Z",
    "State": {
        "Status": "running",
        "Running": True,
        "Pid": 4711,
        "StartedAt": "2026-11-25T03:59:59.103263147Z",
        "FinishedAt": "0001-01-01T00:00:00Z",
    },
    "Image": ID,
    "Name": "/os-job-7kqj2abc",
    "HostConfig": {
        "Binds": None,
        "NetworkMode": "none",
        "CapAdd": None,
        "CapDrop": ["ALL"],
        "IpcMode": "private",
        "PidMode": "",
        "Privileged": False,
        "SecurityOpt": ["no-new-privileges"],
        "UTSMode": "",
        "UsernsMode": "",
        "NanoCpus": 1500000000,
        "Memory": 4294967296,
        "Devices": None,
    },
    "Mounts": [
        {
            "Type": "bind",
            "Source": VOLUME,
            "Destination": "/workspace",
            "Mode": "",
            "RW": True,
            "Propagation": "rprivate",
        }
    ],
    "Config": {
        "User": "10000:10000",
        "Image": IMAGE,
        "Labels": {
            "action": "generate",
            "job-runner": "",
            "jobrunner-local": "",
            "workspace": "long-covid",
        },
    },
    "NetworkSettings": {"Networks": {"none": {"Gateway": ""}}},
}


def container(*path_and_value, base=JOB):
    """JOB with something else at a place in it."""
    found = copy.deepcopy(base)
    if path_and_value:
        *path, last, value = path_and_value
        place = found
        for step in path:
            place = place[step]
        place[last] = value
    (parsed,) = parse_containers([found])
    return parsed


def test_a_job():
    job = container()
    assert (job.name, job.image, job.image_id) == ("os-job-7kqj2abc", IMAGE, ID)
    assert (job.status, job.since) == ("running", "2026-11-25T03:59:59Z")
    assert (job.cpus, job.memory, job.networks) == (1.5, 4 << 30, {"none"})
    assert job.alive
    assert not job.ended


@pytest.mark.parametrize(
    ("status", "alive", "since"),
    [
        ("created", False, "2026-11-25T03:59:58Z"),
        ("paused", True, "2026-11-25T03:59:59Z"),
        ("exited", False, "2026-11-25T05:00:00Z"),
        ("dead", False, "2026-11-25T05:00:00Z"),
    ],
)
def test_states_of_a_container(status, alive, since):
    found = copy.deepcopy(JOB)
    found["State"]["Status"] = status
    if status == "created":
        found["State"]["StartedAt"] = "0001-01-01T00:00:00Z"
    if since.startswith("2026-11-25T05"):
        found["State"]["FinishedAt"] = "2026-11-25T05:00:00.9Z"
    job = container(base=found)
    assert (job.alive, job.since) == (alive, since)


def why(*changed):
    return tuple(unconfined(container(*changed), VOLUME, {"none", "jobrunner-db"}))


def test_a_job_is_confined():
    assert why() == ()
    assert why("HostConfig", "NetworkMode", "jobrunner-db") == ()
    assert why("HostConfig", "SecurityOpt", ["no-new-privileges=true"]) == ()
    assert why("HostConfig", "CapDrop", ["all"]) == ()
    # Docker's own choice on hosts with the older cgroups, as Ubuntu 20.04.
    assert why("HostConfig", "CgroupnsMode", "host") == ()


SOCKET = {"Type": "bind", "Source": "/run/docker.sock", "Destination": "/x"}
OTHER = {"Type": "bind", "Source": "/srv/high_privacy", "Destination": "/y"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (("HostConfig", "NetworkMode", "bridge"), "is on network bridge"),
        (("HostConfig", "NetworkMode", "host"), "is on network host"),
        (
            ("NetworkSettings", "Networks", {"none": {}, "bridge": {}}),
            "is on network bridge",
        ),
        (("HostConfig", "Privileged", True), "is privileged"),
        (("HostConfig", "CapDrop", None), "keeps capabilities"),
        (("HostConfig", "CapDrop", ["NET_RAW"]), "keeps capabilities"),
        (("HostConfig", "CapAdd", ["SYS_ADMIN"]), "has capability SYS_ADMIN"),
        (("HostConfig", "SecurityOpt", None), "may gain privileges"),
        (
            ("HostConfig", "SecurityOpt", ["no-new-privileges", "seccomp=unconfined"]),
            "runs with seccomp:unconfined",
        ),
        (("Config", "User", ""), "runs as root"),
        (("Config", "User", "0:10000"), "runs as root"),
        (("HostConfig", "PidMode", "host"), "shares the host's pid namespace"),
        (("HostConfig", "Devices", [{"PathOnHost": "/dev/sda"}]), "has devices"),
        (("Mounts", [SOCKET]), "sees /run/docker.sock"),
        (("Mounts", [*JOB["Mounts"], OTHER]), "sees /srv/high_privacy"),
        (("Mounts", 0, "Source", f"{VOLUME}d"), f"sees {VOLUME}d"),
    ],
)
def test_a_job_is_not_confined(changed, said):
    (found,) = why(*changed)
    assert found.startswith(said)


def test_images():
    none = ["<none>:<none>"]  # until version 23
    found = [
        {"Id": "sha256:b", "RepoTags": none, "RepoDigests": [IMAGE], "Size": 172},
        {"Id": "sha256:a", "RepoTags": None, "RepoDigests": None},
    ]
    first, second = parse_images(found)
    assert (first.id, first.names, first.size) == ("sha256:a", (), 0)
    assert (second.id, second.names, second.size) == ("sha256:b", (IMAGE,), 172)
