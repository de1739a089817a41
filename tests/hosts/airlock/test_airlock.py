"""Airlock as a service, without a desktop: what it is told and reaches, who reaches it, and the whole way of an output.

The stand-in looks at itself from inside: with any limit less it would have ended.
"""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from tests.hosts.airlock.asking import (
    ASK,
    BACKUPS,
    COUNT,
    FOLDER,
    NAME,
    OUTPUT,
    RELEASE,
    REQUESTS,
    SECRETS,
    WORK,
    WORKSPACE,
    answers,
    be_shown,
    database,
    environ,
    from_lab,
    kept,
    log_in,
    looked,
    open_page,
    outside_stopped,
    people,
    post,
    request_of,
    said,
    uploader,
)
from tests.hosts.docker.canaries import (
    address,
    listening_in_lab,
    make_image,
    reaches,
    start,
)
from tests.hosts.jobs import jobbing
from tests.hosts.managing import CHECKOUT, edited, manage, rests
from tests.hosts.programs import wait_until


pytestmark = pytest.mark.share("Airlock")

LESS = {
    "--cap-drop=ALL": "CapBnd is not",
    "--read-only": "its own files can be written to",
    "--security-opt=no-new-privileges": "NoNewPrivs is not 1",
    "--volume=/etc/opensafely/containers/passwd:/etc/passwd:ro": "has no name",
}


@pytest.fixture(scope="module")
def host(shared_warm_host):
    host = shared_warm_host("test", legacy_cgroups=True)
    wait_until(lambda: "Listening" in said(host), 60)
    return host


def test_a_host_without_a_desktop_has_it_and_no_window(host):
    assert rests(host)
    found = host.run(f"ls {FOLDER}").stdout.split()
    assert found == ["ca.crt", "name", "tls.crt", "tls.key"]
    for path in ("/etc/xdg/opensafely", "/run/opensafely-airlock.socket"):
        host.run(f"! test -e {path}")
    renewed = host.run("backend service certificate airlock renew").stdout
    assert "the host's own certificate holds" in renewed
    host.run("systemctl start opensafely-certificate.service")


def test_every_command_knows_it(host):
    for words in ("status", "service list"):
        (line,) = (
            each
            for each in manage(host, words).stdout.splitlines()
            if re.search(r"\bairlock +running +sha256:", each)
        )
        assert "poll" not in line
    secrets = manage(host, "service secrets").stdout
    for name in ("AIRLOCK_API_TOKEN", "DJANGO_SECRET_KEY"):
        assert re.search(rf"airlock +{name} +set 20", secrets)
    assert "Listening" in manage(host, "service logs airlock").stdout
    done = manage(host, "service restart airlock")
    assert done.returncode == 0, done.stderr
    assert answers(host)


def test_each_is_told_its_own_secrets(host):
    theirs, runners = environ(host, "airlock"), environ(host, "jobrunner")
    assert {"AIRLOCK_API_TOKEN", "DJANGO_SECRET_KEY"} <= theirs.keys()
    assert {"CONTROLLER_TASK_API_TOKEN", "PRIVATE_REPO_ACCESS_TOKEN"} <= runners.keys()
    for name in runners:
        assert name not in theirs or "TOKEN" not in name
    assert not {"AIRLOCK_API_TOKEN", "DJANGO_SECRET_KEY"} & runners.keys()


def test_its_key_is_made_once(host):
    """And anew where somebody has emptied it: with none each page would be an error."""
    key = environ(host, "airlock")["DJANGO_SECRET_KEY"]
    assert len(key) == 96
    assert rests(host, words="--offline")
    assert environ(host, "airlock")["DJANGO_SECRET_KEY"] == key
    host.run(f"sed -i 's/^DJANGO_SECRET_KEY=.*/DJANGO_SECRET_KEY=/' {SECRETS}")
    assert manage(host, "--offline").returncode == 0
    wait_until(lambda: answers(host), 60)
    assert environ(host, "airlock")["DJANGO_SECRET_KEY"] not in (key, "")
    assert host.run(f"stat -c '%a %U' {SECRETS}").stdout == "600 root\n"


def test_it_reaches_the_release_api_and_is_reached_by_root_alone(host, lab):
    at, own = address(host, "airlock"), host.address
    page = [f"tcp:{place}:{port}" for place, port in ((at, 8000), ("127.0.0.1", 443))]
    for name in ("ada", "rita", "gus", "opensafely"):
        as_them = f"setpriv --reuid {name} --regid {name} --init-groups"
        for place in page:
            words = (
                f"{as_them} bash -c 'exec 3<>/dev/tcp/{place[4:].replace(':', '/')}'"
            )
            assert host.run(words, check=False).returncode != 0, (name, place)
    assert reaches(host, page) == {*page}
    make_image(host)
    start(host, "job", "--network jobrunner-db")
    start(host, "neighbour")
    try:
        gateway = at.rpartition(".")[0] + ".1"
        places = [
            *page[:1],
            f"tcp:{own}:443",
            f"tcp:{gateway}:443",
            "tcp:172.17.0.1:443",
        ]
        for container in ("job", "neighbour"):
            assert reaches(host, places, container) == set(), container
        with listening_in_lab(lab, f"{RELEASE}:80"):
            there = [f"tcp:{RELEASE}:{port}" for port in (443, 80)]
            there += [
                "tcp:198.51.100.10:443",
                "tcp:198.51.100.10:53",
                "tcp:192.0.2.30:1433",
            ]
            there += ["udp:198.51.100.10:53", *(f"tcp:{a}:22" for a in (own, gateway))]
            there += [f"tcp:{address(host, 'job')}:22"]
            assert reaches(host, there, "airlock") == {f"tcp:{RELEASE}:443"}
    finally:
        host.run("docker rm -f job neighbour")


def test_another_machine_does_not_reach_it(host, lab):
    """Neither where it is published, nor the container's own address, with a route there."""
    at = address(host, "airlock")

    def connects(place, port):
        return from_lab(lab, place, port)

    subprocess.run(
        lab.inside("ip", "route", "add", at, "via", host.address), check=True
    )
    try:
        assert connects(host.address, 22), "it would reach something"
        assert not connects(host.address, 443)
        assert not connects(at, 8000)
        host.run("nft insert rule inet opensafely forward accept")
        assert connects(at, 8000), "the route is good, and our rule alone refuses it"
    finally:
        subprocess.run(lab.inside("ip", "route", "del", at), check=False)
        assert manage(host, "--offline").returncode == 0


def test_where_level_4_is_on_a_network_it_answers_that_and_nobody_else(host, lab):
    """As on tpp: by its own address, and still not by the container's."""
    path, at = f"{CHECKOUT}/test/backend.py", host.address
    with edited(
        host, path, host.read(path).replace('org"),', 'org", ("192.0.2.0/24",)),')
    ):
        assert manage(host, "--offline").returncode == 0
        assert "0.0.0.0:443" in host.run("ss -Hltn").stdout
        assert not from_lab(lab, at, 443)
    network = f"{at.rpartition('.')[0]}.0/24"
    with edited(
        host, path, host.read(path).replace('org"),', f'org", ("{network}",)),')
    ):
        assert manage(host, "--offline").returncode == 0
        wait_until(lambda: from_lab(lab, at, 443), 30)
        assert rests(host, words="--offline")
    assert manage(host, "--offline").returncode == 0
    assert not from_lab(lab, at, 443)


def test_an_output_is_made_reviewed_and_arrives_once(host, controller, outside):
    releases = outside.releases
    people(releases)
    with jobbing.running(host, controller, workspace=WORKSPACE) as job:
        jobbing.finish(host, controller, job)
        jobbing.complete(host, job)
    data = host.read(OUTPUT).encode()
    be_shown(host)
    page = host.run(f"{ASK} https://{NAME}/login/").stdout
    assert "<title>Login | Airlock</title>" in page
    log_in(host, releases, "rita", "gus", "hal")
    known = request_of(host)
    assert post(host, "rita", f"/requests/{known}/approve") == "403"
    for name in ("gus", "hal"):
        assert post(host, name, f"/requests/{known}/approve") == "302"
    assert releases.released() == []
    assert post(host, "hal", f"/requests/{known}/release") == "302"
    wait_until(lambda: releases.released() == [{"out.csv": data}], 30)
    wait_until(lambda: f"File uploaded: {known}" in said(host), 30)
    files = host.run(f"ls {WORK}").stdout.split()
    assert {"db.sqlite3", "db.sqlite3-wal"} <= set(files)
    assert (
        host.run(f"stat -c '%a %U' {WORK} {REQUESTS}").stdout == "700 opensafely\n" * 2
    )


def test_a_night_leaves_a_copy_and_fourteen_stay(host):
    host.run("systemctl start opensafely-airlock-daily.service")
    assert (
        "manage.py runjobs daily"
        in host.run("journalctl -q -o cat -u opensafely-airlock-daily").stdout
    )
    (first,) = kept(host)
    assert host.run(f"stat -c '%a %U' {BACKUPS}/{first}").stdout == "700 root\n"
    one = host.run(f"cd {BACKUPS}/{first}; find . -path '*/requests/*' -type f").stdout
    host.run(f"cd {BACKUPS}; for n in $(seq 10 30); do cp -al {first} 2020-01-$n; done")
    assert manage(host, "service backup airlock").returncode == 0
    assert len(kept(host)) == 14
    assert kept(host)[0] == "2020-01-19"
    last = kept(host)[-1]
    for path in one.split():  # what has not changed is there once
        same = f"[ {BACKUPS}/{first}/{path} -ef {BACKUPS}/{last}/{path} ]"
        host.run(same)


def test_what_was_kept_comes_back(host, outside):
    people(outside.releases)
    log_in(host, outside.releases, "rita")
    before = int(database(host, COUNT))
    assert manage(host, "service backup airlock").returncode == 0
    known = request_of(host)
    assert int(database(host, COUNT)) == before + 1
    host.run(f"rm -r {REQUESTS}/{WORKSPACE}")
    done = manage(host, "service restore airlock")
    assert done.returncode == 2
    assert "nobody is here to say yes" in done.stderr
    done = manage(host, "service restore airlock --yes")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: answers(host), 30)
    assert int(database(host, COUNT)) == before
    assert known not in host.run(f"ls {REQUESTS}/{WORKSPACE}").stdout
    owners = host.run(
        f"stat -c '%a %U' {WORK}/db.sqlite3 {REQUESTS}/{WORKSPACE}"
    ).stdout
    assert owners.split()[0::2][0] == "600"
    assert {*owners.split()[1::2]} == {"opensafely"}
    assert open_page(host, "rita") == "200"


def test_an_update_that_does_not_come_up_brings_the_database_back(host, sandbox):
    """What the new version had made of it, too: here it breaks it."""
    digest = sandbox.images.digest("airlock", "migrates")
    before = int(database(host, COUNT))
    done = manage(host, f"service update airlock --to {digest} --yes")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "did not stay up" in done.stderr
    wait_until(lambda: answers(host), 60)
    assert int(database(host, COUNT)) == before
    good = sandbox.images.digest("airlock", "v2")
    done = manage(host, f"service update airlock --to {good} --yes")
    assert done.returncode == 0, done.stderr
    assert manage(host, "service rollback airlock --yes").returncode == 0


@pytest.mark.long  # each start takes as long as the page is waited for
def test_an_update_that_has_no_page_goes_back(host, sandbox):
    """Though its container runs for as long as is steady; as where the real one is slow to fail."""
    digest = sandbox.images.digest("airlock", "ends")
    done = manage(host, f"service update airlock --to {digest} --yes")
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{NAME}/login/: " in done.stderr
    wait_until(lambda: answers(host), 60)
    status = json.loads(manage(host, "service list --json").stdout)["services"]
    assert digest not in {each["digest"] for each in status}


def test_what_is_stuck_is_told_with_what_mends_it(host, outside):
    people(outside.releases)
    log_in(host, outside.releases, "rita")
    manage(host, "service backup airlock")
    assert looked(host) == ""
    assert "degraded" not in manage(host, "status").stdout
    with outside_stopped(outside):
        host.run("systemctl start opensafely-airlock-look.service")
        assert "degraded" not in manage(host, "status").stdout, "once is nothing"
        assert "while release.opensafely.org does not answer: " in looked(host)
    token = environ(host, "airlock")["AIRLOCK_API_TOKEN"]
    host.run("backend service secrets set AIRLOCK_API_TOKEN", stdin="wrong\n")
    wait_until(lambda: answers(host), 30)
    mends = "does not take AIRLOCK_API_TOKEN; sudo backend service secrets set AIRLOCK_API_TOKEN"
    assert mends in looked(host)
    host.run("backend service secrets set AIRLOCK_API_TOKEN", stdin=f"{token}\n")
    wait_until(lambda: answers(host), 30)
    host.run(f"kill -9 {uploader(host)}")
    assert "its program has ended; sudo backend service restart airlock" in looked(host)
    host.run("backend service restart airlock; mv /etc/opensafely/airlock/ca.crt /root")
    wait_until(lambda: "run_file_uploader" in host.run("docker top airlock").stdout)
    assert "Airlock's page does not answer: its certificate is not trusted" in looked(
        host
    )
    host.run(f"mv /root/ca.crt {FOLDER}; mv {BACKUPS} /root")
    assert looked(host) == "", "a host that is new has none yet"
    host.run(f"mkdir {BACKUPS}; touch -d 2025-01-15T00:00:00Z {BACKUPS}")
    assert looked(host) == (
        "there is no backup of airlock since 2025-01-15T00:00:00Z; "
        "sudo backend service backup airlock"
    )
    host.run(f"rmdir {BACKUPS}; mv /root/airlock {BACKUPS}")
    known = request_of(host)
    database(
        host,
        f"d.execute(\"UPDATE local_db_requestmetadata SET status = 'APPROVED' WHERE id = '{known}'\")\n"
        f"d.execute(\"UPDATE local_db_requestfilemetadata SET released_at = '2025-01-15 11:00:00', released_by = 'gus' WHERE request_id = '{known}'\")",
    )
    wait_until(lambda: f"Upload for {known}" in said(host), 30)
    sentence = looked(host)
    assert (
        f"{known} of {WORKSPACE} was released 2025-01-15 11:00Z, and 0 of 1 files"
        in sentence
    )
    assert "files have arrived, in spite of tries: 404 " in sentence
    listed = manage(host, "outputs releases").stdout
    assert re.search(
        rf"APPROVED +since 2025-01-15 11:00Z {known} of {WORKSPACE} by rita", listed
    )
    assert "out.csv" not in listed + sentence
    database(
        host,
        f"d.execute(\"UPDATE local_db_requestmetadata SET status = 'RELEASED' WHERE id = '{known}'\")",
    )
    assert looked(host) == ""


def test_who_is_out_is_logged_out_at_once(host, outside):
    """Revoked, or without a role: with the page open, and nobody else is."""
    people(outside.releases)
    log_in(host, outside.releases, "rita", "gus", "hal")
    assert [open_page(host, who) for who in ("rita", "gus", "hal")] == ["200"] * 3
    done = manage(host, "people revoke gus --why test")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^Airlock +\d logins? to Airlock", done.stdout, re.M), done.stdout
    assert [open_page(host, who) for who in ("rita", "gus", "hal")] == [
        "200",
        "302",
        "200",
    ]
    assert manage(host, "people readmit gus").returncode == 0
    path = f"{CHECKOUT}/test/researchers"
    with edited(host, path, ""):
        assert manage(host, "--offline --yes").returncode == 0
        assert open_page(host, "rita") == "302"
        assert open_page(host, "hal") == "200"
    assert manage(host, "--offline --yes").returncode == 0


def test_a_limit_less_and_it_does_not_run(host):
    """As the unit runs it, but for one word; and as it does, so that the others mean something."""
    text = host.read("/etc/systemd/system/opensafely-airlock.service")
    words = re.search(r"docker run \\\n(.*?)\nExecStop", text, re.DOTALL)[1]
    words = words.replace("\\\n", " ").replace("--name=airlock", "--name=less --detach")
    words = words.replace("--rm", "").replace("--attach=stdout", "")
    words = re.sub(r"--publish=\S+|--log-\S+", "", words)
    image = json.loads(manage(host, "service list --json").stdout)["services"][1][
        "digest"
    ]
    name = "docker-proxy.opensafely.org/opensafely-core/airlock"
    words = words.replace("${IMAGE}", f"{name}@{image}")
    for less, why in {"": "Listening", **LESS}.items():
        host.run(f"docker run {words.replace(less, '') if less else words}")
        wait_until(lambda why=why: why in host.run("docker logs less 2>&1").stdout, 60)
        host.run("docker rm --force less")


def test_its_certificate_is_put_by_command(host):
    """One that nobody trusts is refused, and nothing is another then."""
    before = host.read(f"{FOLDER}/tls.crt")
    pem = f"cat {FOLDER}/tls.key {FOLDER}/tls.crt"
    done = host.run(f"{pem} | backend service certificate airlock", check=False)
    assert done.returncode == 1
    assert f"no certificate for {NAME}: " in done.stderr
    for part in ("crt", "key"):
        alone = f"cat {FOLDER}/tls.{part} | backend service certificate airlock"
        done = host.run(alone, check=False)
        assert done.returncode == 2
        assert "wanted the key, the certificate and its chain" in done.stderr
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
