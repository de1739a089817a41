"""Which jobs there are: by container, by folder, and by neither."""

import io
import json
import os
import time

import pytest

from backend_server.checkout.backend import Backend
from backend_server.cli import jobs
from backend_server.host import question
from backend_server.host.reader import HostReader
from backend_server.jobs import listing
from backend_server.jobs.listing import FINISHED, LEFT, PREPARED, RUNNING, Job
from backend_server.text.errors import Refused
from tests.unit.docker.test_containers import JOB


HERE = Backend("test", "", (), frozenset(), (), "")


class Docker(HostReader):
    """A host whose docker has these containers; None: it does not answer."""

    found = ()

    def containers(self):
        return self.found


@pytest.fixture
def host(tmp_path):
    (tmp_path / "srv/high_privacy/volumes").mkdir(parents=True)
    return Docker(tmp_path)


def folder(host, name, age_s, mark=True):
    place = host.root / "srv/high_privacy/volumes" / name
    place.mkdir()
    if mark:
        (place / ".opensafely-timestamp").touch()
        place = place / ".opensafely-timestamp"
    then = time.time() - age_s
    os.utime(place, (then, then))


def found(name, status="running", labels=("job-runner",), network="none"):
    started = "2026-11-25T03:59:59.1Z"
    return {
        **JOB,
        "Name": f"/{name}",
        "State": {"Status": status, "StartedAt": started, "FinishedAt": started},
        "Config": {**JOB["Config"], "Labels": dict.fromkeys(labels, "")},
        "HostConfig": {**JOB["HostConfig"], "NetworkMode": network},
        "NetworkSettings": {"Networks": {network: {}}},
        "Mounts": [],
    }


def test_each_kind(host):
    day = 24 * 3600
    host.found = [
        found("os-job-aa"),
        found("os-job-bb", "exited"),
        found("os-job-cc", "created"),
        found("quirky_name", labels=(), network="jobrunner-db"),
        found("jobrunner", labels=(), network="bridge"),
        found("opensafely-canary", labels=("opensafely-canary",)),
    ]
    for name in ("aa", "bb", "opensafely-canary"):
        folder(host, name, 10)
    folder(host, "dd", day - 60)
    folder(host, "ee", day + 60)
    folder(host, "ff", 3 * day, mark=False)
    here = [(job.id, job.state) for job in listing.listed(host, HERE)]
    assert here == [
        ("aa", RUNNING),
        ("quirky_name", RUNNING),
        ("cc", PREPARED),
        ("dd", PREPARED),
        ("bb", FINISHED),
        ("ee", LEFT),
        ("ff", LEFT),
    ]
    assert [job.id for job in listing.running(listing.listed(host, HERE))] == [
        "aa",
        "quirky_name",
    ]


def test_on_dummy_data_a_job_may_be_on_docker_s_own_network(host):
    host.found = [found("os-job-aa", network="bridge")]
    (job,) = listing.listed(host, HERE)
    assert job.unconfined == ("is on network bridge",)
    (job,) = listing.listed(
        host, Backend("t", "", (), frozenset(), (), "", dummy_data=True)
    )
    assert job.unconfined == ()


def test_a_docker_that_does_not_answer(host):
    host.found = None
    with pytest.raises(listing.NoDocker, match="docker does not answer"):
        listing.listed(host, HERE)


def test_a_job_in_words(host):
    host.found = [JOB]
    (job,) = listing.listed(host, HERE)
    assert str(job) == (
        "running   7kqj2abc  since 2026-11-25T03:59:59Z  long-covid  generate  "
        "1.5 CPU, 4.0 GB  network none"
    )
    assert str(Job("dd", PREPARED, "2026-11-25T03:59:59Z")) == (
        "prepared  dd  since 2026-11-25T03:59:59Z"
    )


TWO = [Job("abc", RUNNING, ""), Job("abcd", RUNNING, "")]


@pytest.mark.parametrize(("words", "wanted"), [("bcd", "abcd"), ("abc", "abc")])
def test_a_part_of_the_id_is_enough(words, wanted):
    assert listing.one(TWO, (), words).id == wanted


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        ("bc", "2 jobs with 'bc' in the id; wanted one", "choose from abc, abcd"),
        (
            "x",
            "0 jobs with 'x' in the id; wanted one",
            "sudo backend job list --since 2d",
        ),
    ],
)
def test_none_and_several_are_refused(words, error, hint):
    with pytest.raises(Refused) as refused:
        listing.one(TWO, (), words)
    assert (str(refused.value), refused.value.hint) == (error, hint)


def test_one_that_runs_no_more_is_told():
    others = [*TWO, Job("xyz", "ended", "")]
    with pytest.raises(Refused, match="wanted one that runs: xyz is ended$"):
        listing.one(TWO, others, "x")
    with pytest.raises(Refused, match="2 jobs with 'bc' in the id; wanted one$"):
        listing.one(TWO, others, "bc")


def test_nobody_to_ask_is_refused(monkeypatch):
    monkeypatch.setattr(question.sys, "stdin", io.StringIO())
    with pytest.raises(Refused, match="would lose what was done so far"):
        jobs._agree([TWO[0]], "job kill", "ends as failed", yes=False)
    jobs._agree([TWO[0]], "job kill", "ends as failed", yes=True)


# ---- those that ended

LABELS = {"workspace": "w", "action": "a"}
REAL = {  # the keys of the real agent's that are looked at
    "exit_code": "137",
    "oom_killed": True,
    "status_message": "\n  Job ran out of memory\n more",
    "container_metadata": {"Config": {"Labels": LABELS}},
}


def keep(host, job, text, age_s, month="2026-11"):
    path = host.root / f"srv/high_privacy/logs/{month}/os-job-{job}/metadata.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    os.utime(path, (NOW - age_s, NOW - age_s))


NOW = 1796000000  # 2026-11-30T00:53:20Z


def test_those_that_ended(host):
    """By their end, whichever month they were made in; what is no account of one is passed over."""
    keep(host, "late", json.dumps(REAL), 60)
    keep(host, "early", json.dumps({"exit_code": "None", "cancelled": True}), 90)
    keep(host, "month", "[]", 100, month="2026-10")
    keep(host, "long", "{}", 4000)
    keep(host, "written", '{"exit', 60)
    month, early, late = listing.ended(host, NOW - 3600)
    assert [month.id, early.id, late.id] == ["month", "early", "late"]
    assert (late.workspace, late.action, late.state) == ("w", "a", "ended")
    assert late.error == "memory ran out; exit 137, Job ran out of memory"
    assert late.since == "2026-11-30T00:52:20Z"
