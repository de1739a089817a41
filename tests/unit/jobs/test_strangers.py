"""Who else starts things on a host or configures it, and of whom is told."""

import pytest

from backend_server.jobs.strangers import rivals, strangers
from tests.unit.example import site_of
from tests.unit.jobs.test_jobs import Docker, found


UNITS = "etc/systemd/system"
SOCKET = {"Type": "bind", "Source": "/run/docker.sock"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return site_of("test", "24.04", tmp_path_factory.mktemp("checkout"))


@pytest.fixture
def host(tmp_path):
    (tmp_path / UNITS / "multi-user.target.wants").mkdir(parents=True)
    return Docker(tmp_path)


def theirs(name="theirs", network="bridge", status="running", mounts=(), **said):
    facts = found(name, status, labels=(), network=network)
    facts["HostConfig"].update(said)
    return {**facts, "Mounts": list(mounts)}


OFTEN = {"RestartPolicy": {"Name": "unless-stopped"}}
PORTS = {"PortBindings": {"80/tcp": [{"HostPort": "80"}]}}


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (theirs(mounts=[SOCKET]), "has docker's socket and is none of ours"),
        (
            theirs("agent", "jobrunner_default"),
            "is on network jobrunner_default, which",
        ),
        (theirs(network="host"), "is on network host, which no rule of ours confines"),
        (
            theirs(**OFTEN),
            "it starts again by itself; docker rm --force theirs, or name it",
        ),
        (theirs(**PORTS), "it publishes ports"),
        (theirs(**PORTS, **OFTEN), "it publishes ports, starts again by itself;"),
    ],
)
def test_a_container_is_told_of(site, host, facts, said):
    host.found = [facts]
    (line,) = strangers(site, host)
    assert said in line
    name = facts["Name"][1:]
    declared = site._replace(backend=site.backend._replace(foreign=(name,)))
    assert [*strangers(declared, host)] == []


@pytest.mark.parametrize(
    "facts",
    [
        theirs(),
        theirs("quirky", network="jobrunner-db", **OFTEN),
        theirs("jobrunner", mounts=[SOCKET], **OFTEN),
        theirs(status="exited", **OFTEN),
        found("os-job-aa", network="jobrunner-db"),
        found("opensafely-canary", labels=("opensafely-canary",), network="other"),
    ],
)
def test_a_container_is_not_told_of(site, host, facts):
    host.found = [facts]
    assert [*strangers(site, host)] == []


def test_another_agent_is_a_rival_and_no_other_is(site, host):
    host.found = [theirs("a", mounts=[SOCKET]), theirs("b", **OFTEN)]
    assert [each.name for each in rivals(site, host)] == ["a"]


def test_other_engines_and_tools(site, host):
    place = host.root / UNITS
    (place / "multi-user.target.wants/puppet.service").symlink_to("/dev/null")
    (place / "multi-user.target.wants/opensafely-salt.service").touch()
    (place / "airlock.service").write_text(
        "[Service]\nExecStart=/usr/bin/docker \\\n  compose up\n"
    )
    (place / "reader.service").write_text(
        "[Service]\nExecStart=/usr/bin/docker logs x\n"
    )
    (place / "mine.service").write_text("[Service]\nExecStart=/usr/bin/dockerd run\n")
    (place / "masked.service").symlink_to("/dev/null")
    (host.root / "usr/bin").mkdir(parents=True)
    (host.root / "usr/bin/podman").touch()
    said = [*strangers(site, host)]
    assert [line.split()[0] for line in said] == [
        "podman",
        "puppet.service",
        "airlock.service",
    ]
    foreign = ("podman", "puppet.service", "airlock.service")
    declared = site._replace(backend=site.backend._replace(foreign=foreign))
    assert [*strangers(declared, host)] == []
