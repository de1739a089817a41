"""The stand-in Airlock in a container as the real one is run: what it is content with, and what not.

And a host without a desktop, which has a certificate for its page, and no window.
"""

from __future__ import annotations

import shlex

import pytest

from sandbox.releases import token
from tests.hosts.airlock.windows import FOLDER, NAME, with_airlock
from tests.hosts.managing import manage, rests
from tests.hosts.programs import wait_until


pytestmark = pytest.mark.share("Airlock")

WORK, REQUESTS = "/var/lib/opensafely/airlock", "/srv/medium_privacy/requests"
WORKSPACES = "/srv/medium_privacy/workspaces"
OUTPUT = f"{WORKSPACES}/trial/output/counts.csv"
DATA = "sex,n\nF,3120\n"
ENVIRONMENT = {
    "AIRLOCK_WORK_DIR": "/workdir/",
    "AIRLOCK_WORKSPACE_DIR": "/workspaces/",
    "AIRLOCK_REQUEST_DIR": "/requests/",
    "AIRLOCK_API_ENDPOINT": "https://release.opensafely.org/api/v2",
    "AIRLOCK_API_TOKEN": token("test"),
    "BACKEND": "test",
    "DJANGO_ALLOWED_HOSTS": NAME,
    "DJANGO_DEBUG": "False",
    "DJANGO_SECRET_KEY": "invented",
}
CONTAINERS = "/etc/opensafely/containers"
OPTIONS = (
    *("--name=airlock", "--detach", "--init", "--read-only", "--cap-drop=ALL"),
    *("--security-opt=no-new-privileges", "--user=10000:10000", "--dns=192.0.2.0"),
    *("--publish=127.0.0.1:443:8000", "--tmpfs=/tmp:size=256m,mode=1777"),
    *("--env=HOME=/tmp", f"--volume={WORKSPACES}:/workspaces:ro"),
    *(f"--volume={REQUESTS}:/requests", f"--volume={WORK}:/workdir"),
    *(f"--volume={FOLDER}:/certs:ro", "--volume=/etc/hosts:/etc/hosts:ro"),
    f"--volume={CONTAINERS}/passwd:/etc/passwd:ro",
    f"--volume={CONTAINERS}/group:/etc/group:ro",
)
COMMAND = (
    *("gunicorn", "--config", "gunicorn.conf.py", "--certfile", "/certs/tls.crt"),
    *("--keyfile", "/certs/tls.key", "airlock.wsgi"),
)
ASK = f"curl --silent --cacert {FOLDER}/ca.crt --resolve {NAME}:443:127.0.0.1 --max-time 10"


@pytest.fixture(scope="module")
def host(shared_warm_host):
    shape = [lambda host: with_airlock(host, "test")]
    host = shared_warm_host("test", shape=shape, legacy_cgroups=True)
    assert manage(host, "--yes").returncode in (0, 4)
    host.run(
        f"install -d -m 0700 -o opensafely -g opensafely {WORK} {REQUESTS}; "
        f"install -d {WORKSPACES}/trial/output; cat > {OUTPUT}",
        stdin=DATA,
    )
    return host


@pytest.fixture
def airlock(host, sandbox):
    """A function: it runs with these options besides, and this environment over its own."""
    digest = sandbox.images.digest("airlock")
    image = f"docker-proxy.opensafely.org/opensafely-core/airlock@{digest}"

    def run(*options, without="", **environment):
        env = {**ENVIRONMENT, **environment}
        given = [f"--env={name}={value}" for name, value in env.items()]
        words = [each for each in OPTIONS if each != without]
        host.run(
            shlex.join(["docker", "run", *words, *given, *options, image, *COMMAND])
        )

    yield run
    host.run("docker rm --force airlock", check=False)


def said(host):
    return host.run("docker logs airlock 2>&1").stdout


def post(host, who, where, **fields):
    words = "".join(
        f" --data-urlencode {shlex.quote(f'{k}={v}')}" for k, v in fields.items()
    )
    jar = f"--cookie /root/{who} --cookie-jar /root/{who} -w '%{{http_code}}' -o /root/page"
    return host.run(f"{ASK} {jar}{words or ' --data x='} https://{NAME}{where}").stdout


def test_a_host_without_a_desktop_has_a_certificate_and_no_window(host):
    assert rests(host, words="--offline")
    assert host.run(f"ls {FOLDER}").stdout.split() == [
        "ca.crt",
        "name",
        "tls.crt",
        "tls.key",
    ]
    for path in ("/etc/xdg/opensafely", "/run/opensafely-airlock.socket"):
        host.run(f"! test -e {path}")
    assert (
        "the host's own certificate holds"
        in host.run("backend service certificate airlock renew").stdout
    )
    host.run("systemctl start opensafely-certificate.service")


def test_an_output_is_reviewed_and_arrives(host, airlock, outside):
    releases = outside.releases
    releases.workspace("trial")
    releases.person("rita", ["trial"])
    for name in ("gus", "hal"):
        releases.person(name, checker=True)
    airlock()
    wait_until(
        lambda: "File uploader started" in said(host) and "Listening" in said(host), 60
    )
    page = host.run(f"{ASK} https://{NAME}/login/").stdout
    assert "<title>Login | Airlock</title>" in page
    for name in ("rita", "gus", "hal"):
        words = releases.login(name)
        assert post(host, name, "/login/", user=name, token=words) == "302"
    asked = {"workspace": "trial", "path": "output/counts.csv"}
    assert post(host, "rita", "/requests/", **asked) == "302"
    (known,) = host.run(f"ls {REQUESTS}/trial").stdout.split()
    assert post(host, "rita", f"/requests/{known}/approve") == "403"
    for name in ("gus", "hal"):
        assert post(host, name, f"/requests/{known}/approve") == "302"
    assert releases.released() == []
    assert post(host, "hal", f"/requests/{known}/release") == "302"
    arrived = [{"output/counts.csv": DATA.encode()}]
    wait_until(lambda: releases.released() == arrived, 30)
    wait_until(lambda: f"File uploaded: {known}" in said(host), 30)
    files = host.run(f"ls {WORK}").stdout.split()
    assert {"db.sqlite3", "db.sqlite3-wal"} <= set(files)


@pytest.mark.parametrize(
    ("options", "without", "environment", "why"),
    [
        ((), "", {"CONTROLLER_TASK_API_TOKEN": "x"}, "is in its environment"),
        ((), "--cap-drop=ALL", {}, "CapBnd is not"),
        ((), "--read-only", {}, "its own files can be written to"),
        ((), "--security-opt=no-new-privileges", {}, "NoNewPrivs is not 1"),
        ((), f"--volume={CONTAINERS}/passwd:/etc/passwd:ro", {}, "has no name"),
        ((), "", {"AIRLOCK_API_TOKEN": ""}, "AIRLOCK_API_TOKEN is not set"),
        ((), "", {"DJANGO_DEBUG": "True"}, "DJANGO_DEBUG is on"),
    ],
)
def test_it_is_not_content_with_less(host, airlock, options, without, environment, why):
    airlock(*options, without=without, **environment)
    wait_until(lambda: why in said(host), 60)
    running = "docker inspect -f '{{.State.Running}}' airlock"
    wait_until(lambda: host.run(running).stdout == "false\n", 30)


def test_its_certificate_is_put_by_command(host):
    """One that nobody trusts is refused, and nothing is another then."""
    before = host.read(f"{FOLDER}/tls.crt")
    pem = f"cat {FOLDER}/tls.key {FOLDER}/tls.crt"
    done = host.run(f"{pem} | backend service certificate airlock", check=False)
    assert done.returncode == 1
    assert f"no certificate for {NAME}: " in done.stderr
    done = host.run("backend service certificate jobrunner renew", check=False)
    assert done.returncode == 2
    assert "has no page here" in done.stderr
    assert host.read(f"{FOLDER}/tls.crt") == before


def test_one_that_is_trusted_is_taken_and_followed(host, outside, sandbox, tmp_path):
    """From backends.opensafely.org, which shows a later one for the same key."""
    certificate, key = sandbox.authority.issue([NAME], tmp_path)
    chain = certificate.read_text() + sandbox.authority.certificate.read_text()
    given = chain + key.read_text()
    host.run("backend service certificate airlock", stdin=given)
    assert host.read(f"{FOLDER}/tls.crt") == chain
    host.run(f"! test -e {FOLDER}/ca.crt")
    assert (
        "certificate /etc/opensafely/airlock/tls.crt ends in"
        in host.run("backend status", check=False).stdout
    )
    # What is shown there is for another key.
    done = host.run("systemctl start opensafely-certificate.service", check=False)
    assert done.returncode == 1
    status = host.run("backend status", check=False).stdout
    assert "opensafely-certificate.service has failed" in status
    assert host.read(f"{FOLDER}/tls.crt") == chain
    outside.show(["backends.opensafely.org"], (certificate, key))
    assert (
        "none that ends later"
        in host.run(
            "systemctl start opensafely-certificate.service; backend service certificate airlock renew"
        ).stdout
    )
