"""Airlock's bad days: of where it releases to, its own, its host's, and those of people with it.

Whatever happens, an output arrives exactly once in the end, and meanwhile somebody is told.
"""

from __future__ import annotations

import contextlib
import json
import re

import pytest

from sandbox.answer import Answer
from tests.hosts.airlock.asking import (
    BACKUPS,
    COUNT,
    FOLDER,
    RELEASE,
    SECRETS,
    WORK,
    WORKSPACE,
    answers,
    database,
    environ,
    kept,
    lay,
    log_in,
    looked,
    open_page,
    people,
    post,
    released,
    request_of,
    said,
    status_of,
    try_again,
)
from tests.hosts.managing import CHECKOUT, edited, manage
from tests.hosts.programs import in_background, wait_until


pytestmark = pytest.mark.share("Airlock")

UNIT = "opensafely-airlock.service"
API = "release.opensafely.org"
TEXT = "sex,n\nF,3120\n"
HTML = {"Content-Type": "text/html"}
JSON = {"Content-Type": "application/json"}
# What the real one answers to an upload, and others that stand before it.
BAD = [
    Answer(b'{"detail": "Invalid token"}', 403, JSON),
    Answer(b'{"detail": "No Release matches the given query."}', 404, JSON),
    Answer(b'["File is too large, it must be below 16.0Mb"]', 400, JSON),
    Answer(b'{"detail": "Contents of uploaded file does not match"}', 400, JSON),
    Answer(b"<h1>Server Error (500)</h1>", 500, HTML),
    Answer(b"<h1>Bad gateway</h1>", 502, HTML),
    Answer(b"<h1>Log in to this network</h1>", 200, HTML),
    Answer(b"half of", 201, {"Content-Length": "4000"}),
]
# Whoever has this list loses the connection once so much has gone there.
CUT = f"""
table ip cut {{
    chain forward {{
        type filter hook forward priority -10
        ip daddr {RELEASE} quota over 300 kbytes reject with tcp reset
    }}
}}
"""
APPLIED = "/var/lib/opensafely/applied.json"
# Has the database's lock until it is told to end.
HOLDS = f"""
import sqlite3, sys
d = sqlite3.connect("{WORK}/db.sqlite3", isolation_level=None, timeout=30)
d.execute("BEGIN IMMEDIATE")
print("has it", flush=True)
sys.stdin.read() or __import__("time").sleep(600)
"""
BINDS = "import socket; socket.create_server(('127.0.0.1', 443)); print('has it')"


@pytest.fixture(scope="module")
def host(shared_warm_host):
    host = shared_warm_host("test", legacy_cgroups=True)
    wait_until(lambda: "Listening" in said(host), 60)
    lay(host, "out.csv", TEXT)
    return host


@pytest.fixture
def releases(host, outside):
    """Where it releases to; rita, gus and hal are logged in."""
    people(outside.releases)
    log_in(host, outside.releases, "rita", "gus", "hal")
    return outside.releases


def went(releases, known):
    """What has arrived of one request."""
    path = releases.folder / "releases" / f"{known}.json"
    found = json.loads(path.read_text())["uploaded"] if path.exists() else {}
    return {n: (releases.folder / "files" / f).read_text() for n, f in found.items()}


def arrives_once(host, releases, known, text=TEXT, name="out.csv"):
    wait_until(lambda: status_of(host, known) == "RELEASED", 90)
    assert went(releases, known) == {name: text}


# ---- a moment


def test_what_keeps_it_for_a_moment_does_not_keep_it_down(host):
    """As a checkout that is being changed as it starts: systemd would take that for a refusal."""
    path = f"{CHECKOUT}/test/backend.py"
    host.run(f"mv {path} /root/; systemctl restart --no-block {UNIT}")
    ask = f"journalctl -q -o cat -u {UNIT} | grep -c 'backend.py is missing'"
    wait_until(lambda: host.run(ask, check=False).stdout.strip() > "0", 60)
    host.run(f"mv /root/backend.py {path}")
    wait_until(lambda: answers(host), 60)


def test_without_its_token_it_is_not_started_and_that_is_told(host):
    text = host.read(SECRETS)
    with edited(
        host, SECRETS, text.replace("AIRLOCK_API_TOKEN=", "AIRLOCK_API_TOKEN= #")
    ):
        host.run(f"systemctl stop {UNIT}; systemctl start {UNIT}")
        state = host.run(f"systemctl is-active {UNIT}", check=False).stdout
        assert state == "inactive\n"
        assert (
            "airlock has no value for AIRLOCK_API_TOKEN"
            in manage(host, "status").stdout
        )
        assert manage(host, "service start airlock").returncode == 2
    assert manage(host, "service start airlock").returncode == 0
    wait_until(lambda: answers(host), 60)


# ---- where it releases to


def test_bad_answers_are_told_and_it_arrives_once(host, outside, releases):
    """What it heard last is said in words."""
    path = "api/v2/releases/release/"
    known = request_of(host)
    for name in ("gus", "hal"):
        assert post(host, name, f"/requests/{known}/approve") == "302"
    outside.answer(API, path + known, BAD[0])
    assert post(host, "hal", f"/requests/{known}/release") == "302"
    for number, bad in enumerate(BAD, start=1):
        outside.answer(API, path + known, bad)
        try_again(host)
        tried = f"{known} - default/out.csv failed (attempt {number}): "
        wait_until(lambda tried=tried: tried in said(host), 60)
        assert went(releases, known) == {}
        assert status_of(host, known) == "APPROVED"
    age = "UPDATE local_db_requestfilemetadata SET released_at = '2025-01-15 11:00:00'"
    database(host, f"d.execute(\"{age} WHERE request_id = '{known}'\")")
    assert "files have arrived, in spite of tries: " in looked(host)
    outside.as_usual(API)
    try_again(host)
    arrives_once(host, releases, known)
    assert looked(host) == ""


def test_an_upload_that_is_cut_half_way_arrives_once(host, releases):
    text = "0123456789abcde\n" * 125_000  # 2 MB
    lay(host, "big.csv", text)
    host.run("nft -f -", stdin=CUT)
    try:
        known = released(host, "big.csv")
        wait_until(
            lambda: f"Upload for {known} - default/big.csv failed" in said(host), 90
        )
        assert went(releases, known) == {}
    finally:
        host.run("nft delete table ip cut")
    try_again(host)
    arrives_once(host, releases, known, text, "big.csv")


def test_killed_while_it_uploads_it_arrives_once(host, outside, releases):
    """What it sent was taken, and it never heard so."""
    outside.lose_answers()
    known = released(host)
    wait_until(lambda: went(releases, known), 60)
    assert status_of(host, known) == "APPROVED"
    host.run("docker kill airlock")
    outside.lose_answers(False)
    wait_until(lambda: answers(host), 60)
    try_again(host)
    arrives_once(host, releases, known)


# ---- its host


def fill(host, place):
    words = f"dd if=/dev/zero of={place}/.full.$(date +%N) bs=1k 2>/dev/null"
    assert host.run(words, check=False).returncode == 1


@contextlib.contextmanager
def full(host, place):
    """PLACE is a small disk of its own, with what it had, and nothing more goes there."""
    host.run(f"cp -a {place} /root/had; mount -t tmpfs -o size=6m tmpfs {place}")
    host.run(f"chown --reference=/root/had {place}; chmod 700 {place}")
    host.run(f"cp -a /root/had/. {place}; rm -r /root/had")
    fill(host, place)
    try:
        yield
    finally:
        host.run(f"rm {place}/.full*; cp -a {place} /root/had; umount {place}")
        host.run(f"cp -a /root/had/. {place}; rm -r /root/had")


def test_without_room_for_a_copy_those_before_stay_and_no_image_is_tried(host, sandbox):
    assert manage(host, "service backup airlock").returncode == 0
    before = kept(host)
    with full(host, BACKUPS):
        done = manage(host, "service backup airlock")
        assert done.returncode == 1
        assert "full" in done.stderr or "No space" in done.stderr
        good = sandbox.images.digest("airlock", "v2")
        done = manage(host, f"service update airlock --to {good} --yes")
        assert done.returncode == 1
        assert kept(host) == before
    assert answers(host)
    assert good not in manage(host, "service list").stdout


def test_without_room_for_its_database_it_loses_nothing_and_goes_on_once_there_is(
    host, releases
):
    known = released(host)
    arrives_once(host, releases, known)
    with full(host, WORK):
        assert manage(host, "service restart airlock").returncode == 0
        wait_until(lambda: answers(host), 60)
        fill(host, WORK)  # what it gave back as it ended
        asked = {"workspace": WORKSPACE, "path": "out.csv"}
        assert post(host, "rita", "/requests/", **asked) != "302"
        assert manage(host, "service stop airlock").returncode == 0
    assert manage(host, "service start airlock").returncode == 0
    wait_until(lambda: answers(host), 60)
    assert status_of(host, known) == "RELEASED"
    arrives_once(host, releases, released(host))


def test_a_locked_database_is_told_of_who_is_still_logged_in(host, releases):
    """Copies are made all the same; and once it is free, they are out."""
    assert open_page(host, "gus") == "200"
    with in_background(host, "python3", "-c", HOLDS) as holder:
        assert holder.line() == "has it\n"
        done = manage(host, "people revoke gus --why test")
        assert done.returncode == 1, done.stdout
        assert "gus is still logged in to Airlock: database is locked" in done.stderr
        assert manage(host, "service backup airlock").returncode == 0
        assert open_page(host, "gus") == "200"
    done = manage(host, "--offline")
    assert open_page(host, "gus") == "302", done.stdout + done.stderr
    assert open_page(host, "hal") == "200"
    assert manage(host, "people readmit gus").returncode == 0
    assert manage(host, "--offline --yes --accept-keys").returncode == 0


def test_a_certificate_of_another_name_is_told_and_a_run_makes_another(host):
    host.run(
        f"cd {FOLDER}; openssl req -x509 -nodes -newkey rsa:2048 -subj /CN=other.example "
        "-addext subjectAltName=DNS:other.example -keyout tls.key -out tls.crt 2>/dev/null"
    )
    assert "Airlock's page does not answer: its certificate is not trusted" in looked(
        host
    )
    assert manage(host, "--offline").returncode == 0
    wait_until(lambda: answers(host), 30)


def test_nobody_sits_at_its_port_and_what_root_has_there_is_told(host):
    """Whoever has it first; then it comes up by itself."""
    host.run(f"systemctl stop {UNIT}")
    for name in ("rita", "gus", "opensafely"):
        as_them = f"setpriv --reuid {name} --regid {name} --init-groups"
        done = host.run(f'{as_them} python3 -c "{BINDS}"', check=False)
        assert "PermissionError" in done.stderr, name
    assert host.run(f'python3 -c "{BINDS}"').stdout == "has it\n"
    host.run(
        "systemd-run --quiet --unit=sits python3 -m http.server --bind 127.0.0.1 443"
    )
    wait_until(lambda: ":443 " in host.run("ss -Hltn").stdout)
    done = manage(host, "service start airlock")
    assert done.returncode == 1
    assert "443" in done.stderr, done.stderr
    ask = f"systemctl show -P NRestarts {UNIT}"
    wait_until(lambda: int(host.run(ask).stdout) >= 3, 60)
    said = manage(host, "status").stdout
    line = next(n for n in said.splitlines() if "airlock starts again and again" in n)
    assert "poll" not in line, "it asks nobody"
    found = json.loads(manage(host, "service list --json").stdout)["services"]
    polls = {each["name"]: (each["polls"], each["last_poll"]) for each in found}
    assert polls["airlock"] == (False, None)
    host.run("systemctl stop sits")
    wait_until(lambda: answers(host), 60)


# ---- another image


def test_one_whose_page_errs_is_taken_back_with_what_it_made_of_the_database(
    host, sandbox, releases
):
    request_of(host)
    before = int(database(host, COUNT))
    bad = sandbox.images.digest("airlock", "errs")
    done = manage(host, f"service update airlock --to {bad} --yes")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "login/: it answered 500" in done.stderr
    wait_until(lambda: answers(host), 60)
    assert int(database(host, COUNT)) == before
    lock = f"{CHECKOUT}/test/images.lock"
    good = sandbox.images.digest("airlock", "v1")
    with edited(host, lock, host.read(lock).replace(good, bad)):
        done = manage(host, "--offline")
        assert done.returncode == 1, done.stdout + done.stderr
    wait_until(lambda: answers(host), 60)
    assert int(database(host, COUNT)) == before
    assert manage(host, "--offline").returncode == 0


def test_an_update_that_is_killed_leaves_image_and_database_as_before(
    host, sandbox, releases
):
    """By what whoever is killed has left behind for systemd to start."""
    request_of(host)
    before = int(database(host, COUNT))
    assert before > 0
    bad = sandbox.images.digest("airlock", "errs")
    words = f"{CHECKOUT}/test/manage.sh service update airlock --to {bad} --yes"
    with in_background(host, "sh", "-c", words) as update:
        wait_until(lambda: int(database(host, COUNT)) == 0, 90)
        pids = host.run("pgrep -f '[e]ntry.py.* service update airlock'").stdout.split()
        host.run(f"kill -9 {' '.join(pids)}")
        update.end()
    wait_until(lambda: int(database(host, COUNT)) == before, 60)
    wait_until(lambda: answers(host), 60)
    assert bad not in manage(host, "service list").stdout


def test_an_update_during_a_review_loses_nothing_of_it(host, sandbox, releases):
    known = request_of(host)
    assert post(host, "gus", f"/requests/{known}/approve") == "302"
    good = sandbox.images.digest("airlock", "v2")
    assert manage(host, f"service update airlock --to {good} --yes").returncode == 0
    assert status_of(host, known) == "PARTIALLY_REVIEWED"
    assert post(host, "gus", f"/requests/{known}/approve") == "403"
    for verb in ("approve", "release"):
        assert post(host, "hal", f"/requests/{known}/{verb}") == "302"
    arrives_once(host, releases, known)
    assert manage(host, "service rollback airlock --yes").returncode == 0


# ---- copies


def test_the_oldest_copy_can_be_restored_and_is_not_lost(host, releases):
    assert manage(host, "service backup airlock").returncode == 0
    last = kept(host)[-1]
    host.run(f"cd {BACKUPS}; for n in $(seq 10 30); do cp -al {last} 2020-01-$n; done")
    assert manage(host, "service backup airlock").returncode == 0
    oldest, before = kept(host)[0], int(database(host, COUNT))
    assert oldest.startswith("2020-01-")
    request_of(host)
    done = manage(host, f"service restore airlock {oldest} --yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(database(host, COUNT)) == before
    assert oldest in kept(host)


# ---- people


def test_who_is_on_no_roster_is_told_of(host, outside, releases):
    """As an output checker of another backend, whom Airlock takes for one of two."""
    outside.releases.person("ivy", checker=True)
    log_in(host, outside.releases, "ivy")
    known = request_of(host)
    assert post(host, "gus", f"/requests/{known}/approve") == "302"
    assert "ivy" not in looked(host)
    assert post(host, "ivy", f"/requests/{known}/approve") == "302"
    sentence = f"{known} of {WORKSPACE} is of or before ivy, who are on no roster here"
    assert sentence in looked(host)
    listed = manage(host, "outputs releases").stdout
    (line,) = (line for line in listed.splitlines() if known in line)
    assert line.endswith("; on no roster here: ivy")
    found = json.loads(manage(host, "outputs releases --json").stdout)["requests"]
    assert [r["strangers"] for r in found if r["id"] == known] == [["ivy"]]
    assert post(host, "gus", f"/requests/{known}/release") == "302"
    arrives_once(host, releases, known)
    assert "ivy" not in looked(host)


def test_whose_time_is_over_is_logged_out(host, releases):
    """By the timer, with nobody there to ask; and nobody else is."""
    path = f"{CHECKOUT}/test/researchers"
    with edited(host, path, "rita expires=2999-12-31\n"):
        assert manage(host, "--offline --yes --accept-keys").returncode == 0
        assert open_page(host, "rita") == "200"
        host.run(f"sed -i s/2999-12-31/$(date -u +%F)/ {APPLIED}")
        host.run("systemctl start opensafely-people.service", check=False)
        assert open_page(host, "rita") == "302"
        assert open_page(host, "hal") == "200"
    assert manage(host, "--offline --yes --accept-keys").returncode in (0, 4)


# ---- telemetry


def test_it_tells_whom_the_backend_says_and_nobody_else(host):
    """With the agent's secret, and a route to that place alone."""
    headers, secret = "OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Basic%20x"
    path, place = f"{CHECKOUT}/test/backend.py", "https://collector.opensafely.org"
    assert not [n for n in environ(host, "airlock") if n.startswith("OTEL_EXPORTER")]
    text = host.read(path).replace(
        "BACKEND = Backend(", f'BACKEND = Backend(telemetry="{place}",'
    )
    names = f"{CHECKOUT}/test/hosts"
    elsewhere = re.sub(r"\S+( collector)", r"192.0.2.9\1", host.read(names))
    with edited(host, path, text), edited(host, names, elsewhere):
        done = manage(host, "--offline")
        assert f"airlock has no value for {headers} in" in done.stdout
        done = manage(host, f"service secrets set {headers}", prefix=f"echo {secret} |")
        assert done.returncode == 0, done.stderr
        assert manage(host, "--offline").returncode == 0
        found = environ(host, "airlock")
        assert found[headers] == secret
        assert found["OTEL_EXPORTER_OTLP_ENDPOINT"] == place
        assert found["OTEL_RESOURCE_ATTRIBUTES"] == "rap.backend=test,backend=test"
        rules = host.run("nft list table inet opensafely").stdout
        (ways,) = re.findall(r'iifname "os-airlock" ip daddr .*{ (.*) } accept', rules)
        assert set(ways.split(", ")) == {f"{RELEASE} . 443", "192.0.2.9 . 443"}
    host.run(f"sed -i /^{headers}=/d {SECRETS}")
    assert manage(host, "--offline").returncode == 0
    assert headers not in environ(host, "airlock")
