"""Airlock on a host as those who use it ask it, and as the host itself looks at it."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import subprocess

from tests.hosts.managing import manage


NAME, FOLDER = "test.backends.opensafely.org", "/etc/opensafely/airlock"
WORK, REQUESTS = "/var/lib/opensafely/airlock", "/srv/medium_privacy/requests"
WORKSPACE = "long-covid"
OUTPUT = f"/srv/medium_privacy/workspaces/{WORKSPACE}/out.csv"
RELEASE = "157.245.31.108"
BACKUPS = "/var/lib/opensafely/backups/airlock"
SECRETS = "/etc/opensafely/env/02_secrets.env"
REVIEW = f"/srv/medium_privacy/review/{WORKSPACE}"
# Becomes an output of a job's: it is in both trees, and last in the manifest.
LAYS = """
import hashlib, json, os, pathlib, sys
workspace, path = sys.argv[1:]
data = sys.stdin.buffer.read()
for tree in ("high", "medium"):
    top = pathlib.Path(f"/srv/{tree}_privacy/workspaces", workspace)
    (top / path).parent.mkdir(parents=True, exist_ok=True)
    (top / path).with_suffix(".new").write_bytes(data)
    (top / path).with_suffix(".new").rename(top / path)
(top / "metadata").mkdir(exist_ok=True)
place = top / "metadata/manifest.json"
found = json.loads(place.read_text())["outputs"] if place.exists() else {}
found[path] = {
    "level": "moderately_sensitive", "excluded": False, "message": None,
    "size": len(data), "timestamp": (top / path).stat().st_mtime,
    "content_hash": hashlib.sha256(data).hexdigest(), "commit": "c0ffee",
    "repo": "https://github.com/opensafely/trial", "job_id": "job1",
    "action": "describe", "row_count": 1, "col_count": 2,
}
text = {"workspace": workspace, "repo": None, "outputs": found}
place.with_suffix(".tmp").write_text(json.dumps(text))
place.with_suffix(".tmp").rename(place)
"""
ASK = f"curl --silent --cacert {FOLDER}/ca.crt --resolve {NAME}:443:127.0.0.1 --max-time 10"
COUNT = (
    "print(d.execute('SELECT count(*) FROM local_db_requestmetadata').fetchone()[0])"
)


def said(host):
    since = host.run("docker inspect -f '{{.State.StartedAt}}' airlock", check=False)
    words = f"journalctl -q -o cat CONTAINER_NAME=airlock --since '{since.stdout[:19].replace('T', ' ')} UTC'"
    return host.run(words, check=False).stdout if since.stdout.strip() else ""


def environ(host, name):
    pid = host.run(f"docker inspect -f '{{{{.State.Pid}}}}' {name}").stdout.strip()
    text = host.run(f"cat /proc/{pid}/environ").stdout
    return dict(each.split("=", 1) for each in text.split("\0") if each)


def post(host, who, where, **fields):
    words = "".join(
        f" --data-urlencode {shlex.quote(f'{k}={v}')}" for k, v in fields.items()
    )
    jar = f"--cookie /root/{who} --cookie-jar /root/{who} -w '%{{http_code}}' -o /root/page"
    line = f"{ASK} {jar}{words or ' --data x='} https://{NAME}{where}"
    return host.run(line, check=False).stdout  # 000: there was no answer


def answers(host):
    words = f"{ASK} -o /dev/null -w '%{{http_code}}' https://{NAME}/login/"
    return host.run(words, check=False).stdout == "200"


def log_in(host, releases, *names):
    for name in names:
        words = releases.login(name)
        assert post(host, name, "/login/", user=name, token=words) == "302"


def lay(host, path, text, workspace=WORKSPACE):
    """A job has made this output, and Airlock is shown it."""
    words = f"python3 -c {shlex.quote(LAYS)} {workspace} {path}"
    host.run(f"umask 002; runuser -u opensafely -- {words}", stdin=text)
    be_shown(host)


def be_shown(host):
    """As half a minute later."""
    host.run("systemctl start opensafely-review.service")


def people(releases):
    releases.workspace(WORKSPACE)
    releases.person("rita", [WORKSPACE])
    for name in ("gus", "hal"):
        releases.person(name, checker=True)


def request_of(host, path="out.csv"):
    """A request for the output, by rita: its id."""
    before = set(host.run(f"ls {REQUESTS}/{WORKSPACE}", check=False).stdout.split())
    asked = {"workspace": WORKSPACE, "path": path}
    assert post(host, "rita", "/requests/", **asked) == "302"
    (known,) = set(host.run(f"ls {REQUESTS}/{WORKSPACE}").stdout.split()) - before
    return known


def from_lab(lab, place, port):
    """Whether another machine connects there."""
    words = f"exec 3<>/dev/tcp/{place}/{port}"
    argv = lab.inside("timeout", "5", "bash", "-c", words)
    return subprocess.run(argv, check=False).returncode == 0


def kept(host):
    return sorted(host.run(f"ls {BACKUPS}").stdout.split())


def database(host, words):
    return host.run(
        f"python3 - <<'E'\nimport sqlite3\nd = sqlite3.connect('{WORK}/db.sqlite3')\n{words}\nd.commit()\nE"
    ).stdout


def looked(host):
    """What is stuck; after two looks `status` says so too."""
    host.run("systemctl start opensafely-airlock-look.service")
    found = json.loads(
        host.run("backend outputs releases --look --json", check=False).stdout
    )
    status = json.loads(manage(host, "status --json").stdout)
    assert set(found["degraded"]) <= set(status["degraded"])
    return "\n".join(found["degraded"])


def uploader(host):
    top = host.run("docker top airlock -o pid,args").stdout
    return re.search(r"(\d+) .*run_file_uploader", top)[1]


@contextlib.contextmanager
def outside_stopped(outside):
    outside.stop(["release.opensafely.org"])
    yield
    outside.start()


def open_page(host, who):
    """200 with the page open, 302 at the login."""
    jar = f"--cookie /root/{who} -w '%{{http_code}}' -o /root/page"
    return host.run(f"{ASK} {jar} https://{NAME}/").stdout


def released(host, path="out.csv"):
    """As request_of; two others have approved it, and one of them has released it."""
    known = request_of(host, path)
    for name, verb in (("gus", "approve"), ("hal", "approve"), ("hal", "release")):
        assert post(host, name, f"/requests/{known}/{verb}") == "302"
    return known


def try_again(host):
    """The uploader does not wait for the minute after its last try."""
    database(
        host,
        "d.execute('UPDATE local_db_requestfilemetadata SET upload_attempted_at = NULL')",
    )


def status_of(host, known):
    ask = f"SELECT status FROM local_db_requestmetadata WHERE id = '{known}'"
    return database(host, f'print(d.execute("{ask}").fetchone()[0])').strip()
