"""Which images go: a table, and what is known of those that stay."""

import json
import os
from datetime import date, datetime, time, timedelta, timezone

import pytest

from backend_server.docker import usage
from backend_server.docker.containers import Image
from backend_server.host.reader import HostReader
from backend_server.jobs import tidy, updates
from backend_server.run import watching


TODAY = date(2026, 11, 25)


def ago(days):
    return (TODAY - timedelta(days=days)).isoformat()


@pytest.mark.parametrize(
    ("in_use", "seen", "goes"),
    [
        (False, ago(31), True),
        (False, ago(30), False),
        (False, ago(0), False),
        (True, ago(365), False),
        (False, None, False),  # nothing is known of it
        (False, "2999-01-01", False),  # the clock was wrong
    ],
)
def test_what_goes(in_use, seen, goes):
    image = Image("sha256:a", ("name@sha256:d",), 1)
    used = {image.id} if in_use else set()
    known = {image.id: seen} if seen else {}
    assert tidy.unused([image], used, known, TODAY) == ([image] if goes else [])


def test_what_is_noted():
    images = [Image(name, (), 0) for name in ("used", "new", "old")]
    before = {"used": ago(40), "old": ago(29), "gone": ago(3)}
    now = tidy.noted(images, {"used"}, before, TODAY)
    assert now == {"used": ago(0), "new": ago(0), "old": ago(29)}


def metadata(host, month, job, age_days, text, today=TODAY):
    place = host.root / f"srv/high_privacy/logs/{month}/os-job-{job}/metadata.json"
    place.parent.mkdir(parents=True)
    place.write_text(text)
    noon = datetime.combine(today, time(12), timezone.utc)
    then = (noon - timedelta(days=age_days)).timestamp()
    os.utime(place, (then, then))


def test_images_that_jobs_ran_in(tmp_path):
    host = HostReader(tmp_path)
    facts = {"container_metadata": {"Image": "sha256:a", "Config": {"Image": "n@b"}}}
    metadata(host, "2026-11", "1", 1, json.dumps(facts))
    metadata(host, "2026-10", "2", 29, json.dumps({"docker_image_id": "sha256:c"}))
    metadata(host, "2026-10", "3", 32, json.dumps({"Image": "sha256:old"}))
    metadata(host, "2026-09", "4", 1, json.dumps({"Image": "sha256:d"}))  # it took long
    metadata(host, "2026-08", "4", 1, json.dumps({"Image": "sha256:not-looked-at"}))
    metadata(host, "2026-11", "5", 1, '{"Image": "sha256:half')
    (tmp_path / "srv/high_privacy/logs/2026-11/os-job-6/metadata.json").mkdir(
        parents=True
    )
    assert tidy.of_jobs(host, TODAY) == {"sha256:a", "n@b", "sha256:c", "sha256:d"}


@pytest.mark.parametrize(
    ("today", "days", "months"),
    [
        (date(2026, 3, 1), 30, ("2026-01", "2026-02", "2026-03")),  # all of February
        (date(2026, 11, 25), 60, ("2026-09", "2026-10", "2026-11")),
        (date(2026, 2, 1), 60, ("2025-12", "2026-01", "2026-02")),
        (date(2026, 11, 25), 0, ("2026-11",)),
    ],
)
def test_jobs_of_every_month_are_looked_at(tmp_path, monkeypatch, today, days, months):
    monkeypatch.setattr(tidy, "KEPT", timedelta(days=days))
    for month in (*months, "2024-01"):
        metadata(
            HostReader(tmp_path), month, month, 0, f'{{"Image": "{month}"}}', today
        )
    assert tidy.of_jobs(HostReader(tmp_path), today) == {*months}


POLICY = """\
docker.io:
  Installed: 26.1.3-0ubuntu1~20.04.1
  Candidate: 26.1.4-0ubuntu1
  Version table:
     26.1.4-0ubuntu1 500
        500 https://archive-ubuntu.opensafely.org/ubuntu focal-updates/universe amd64 Packages
 *** 26.1.3-0ubuntu1~20.04.1 100
        100 /var/lib/dpkg/status
runc:
  Installed: 1.1.12
  Candidate: 1.1.12
  Version table:
 *** 1.1.12 100
containerd.io:
  Installed: (none)
  Candidate: 1.7
  Version table:
"""


def test_held_packages_that_are_not_the_newest():
    policy = updates.parse_policy(POLICY)
    assert policy["runc"] == ("1.1.12", "1.1.12")
    (found,) = updates.newer(policy, {}, TODAY)
    assert (found.package, found.since) == ("docker.io", ago(0))
    assert found.candidate == "26.1.4-0ubuntu1"
    (still,) = updates.newer(policy, {"docker.io": ago(9), "runc": ago(9)}, TODAY)
    assert still.age(TODAY) == 9


def test_sizes():
    text = "4096\t/srv/medium_privacy/workspaces/a b\08192\t/srv/x\ny\0"
    assert usage.parse_du(text) == {
        "/srv/medium_privacy/workspaces/a b": 4096,
        "/srv/x\ny": 8192,
    }
    df = {
        "LayersSize": 172_400_000,
        "Images": [],
        "Containers": [{"Id": "a", "SizeRw": 5}, {"Id": "b"}, {"Id": "c", "SizeRw": 6}],
        "Volumes": None,
        "BuildCache": None,
    }
    assert [each.bytes for each in usage.of_docker(df)] == [172_400_000, 11, 0]
    assert [usage.size(n) for n in (0, 999, 1500, 2.5e9, 3e12)] == [
        *("0 B", "999 B", "2 kB", "2 GB", "3.0 TB")
    ]


@pytest.mark.parametrize(
    ("said", "days"),
    [
        ("notAfter=Nov 26 04:00:00 2026 GMT\n", 1),
        ("notAfter=Nov  5 04:00:00 2026 GMT\n", -20),
    ],
)
def test_days_of_a_certificate(said, days):
    assert watching.days_left(said, TODAY) == days


@pytest.mark.parametrize(
    ("days", "unwell", "said"),
    [
        (14, False, "x ends in 14 days"),
        (13, True, "x ends in 13 days"),
        (-1, True, "x ended 1 day ago"),
        (None, True, "x cannot be read as a certificate"),
    ],
)
def test_a_certificate_in_words(days, unwell, said):
    found = watching.Certificate("x", days)
    assert (found.unwell, str(found)) == (unwell, said)
