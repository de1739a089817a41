"""The sandbox's agent treats outputs as the real one does: levels, gates, names, account."""

import json
import os
import re
import stat

import pytest

from sandbox.agent import __main__ as agent
from sandbox.agent import config, database, docker, job, outputs, tasks


SECRET = "mssql://reader:hunter2@database:1433/Patients"


@pytest.fixture
def settings(tmp_path):
    return config.read(
        {
            "BACKEND": "test",
            "CONTROLLER_TASK_API_ENDPOINT": "https://controller.invalid",
            "HIGH_PRIVACY_STORAGE_BASE": str(tmp_path / "high"),
            "MEDIUM_PRIVACY_STORAGE_BASE": str(tmp_path / "medium"),
            "DEFAULT_DATABASE_URL": SECRET,
            "DOCKER_USER_ID": "10000",
            "DOCKER_GROUP_ID": "10000",
        }
    )


def definition(**fields):
    return {
        **{
            "id": "abc",
            "rap_id": "rap",
            "workspace": "w",
            "action": "a",
            "user": "ada",
        },
        **{"repo_url": "https://repo.invalid", "commit": "0" * 40, "env": {}},
        **{"image": "ghcr.io/opensafely-core/python:v2", "image_sha": "sha256:1"},
        **{"level4_max_csv_rows": 3, "level4_max_filesize": 60, "args": ["-c", "pass"]},
        **{"level4_file_types": [".csv", ".png"], "allow_database_access": False},
        **{"output_spec": {"out/*": outputs.MODERATE}, "created_at": 1767225600},
        **fields,
    }


def made(tmp_path, name, text):
    path = tmp_path / "volume" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def keep(settings, tmp_path, **fields):
    wanted = definition(**fields)
    found, unmatched = outputs.matching(wanted, tmp_path / "volume")
    return outputs.keep(settings, wanted, tmp_path / "volume", found), unmatched


def test_levels(settings, tmp_path):
    made(tmp_path, "out/patients.csv", "a\n1\n").chmod(0o600)
    made(tmp_path, "out/counts.csv", "n\n1\n").chmod(0o640)
    spec = {"out/p*": "highly_sensitive", "out/c*": outputs.MODERATE, "x/*": "any"}
    excluded, unmatched = keep(settings, tmp_path, output_spec=spec)
    assert (excluded, unmatched) == ({}, ["x/*"])
    high, medium = (
        base / "workspaces/w/out" for base in (settings.high, settings.medium)
    )
    assert sorted(os.listdir(high)) == ["counts.csv", "patients.csv"]
    assert os.listdir(medium) == ["counts.csv"]
    modes = [stat.S_IMODE(path.stat().st_mode) for path in sorted(high.iterdir())]
    assert modes == [0o640, 0o600]


GATES = {
    "large.png": ("x" * 61, "File size"),
    "long.csv": ("n\n1\n2\n3\n4\n", "row count"),
    "ids.csv": ("patient_id\n1\n", "patient_id"),
    "kind.rds": ("x", "File type"),
    "fine.csv": ("n\n1\n2\n3\n", None),
}


@pytest.mark.parametrize("name", GATES)
def test_gates(settings, tmp_path, name):
    text, why = GATES[name]
    made(tmp_path, f"out/{name}", text)
    excluded, _ = keep(settings, tmp_path)
    place = settings.medium / "workspaces/w/out"
    assert (settings.high / "workspaces/w/out" / name).read_text() == text
    if why:
        assert os.listdir(place) == [f"{name}.txt"]
        assert why in (place / f"{name}.txt").read_text()
        assert list(excluded) == [f"out/{name}"]
    else:
        assert os.listdir(place) == [name]
    # And the other way, when the same action makes it anew.
    made(tmp_path, f"out/{name}", "n\n1\n" if name.endswith(".csv") else text)
    keep(
        settings,
        tmp_path,
        level4_max_filesize=99,
        level4_file_types=[".rds", ".csv", ".png"],
    )
    assert os.listdir(place) == [name]


def test_the_manifest_keeps_what_others_made(settings, tmp_path):
    made(tmp_path, "out/ids.csv", "patient_id\n1\n")
    keep(settings, tmp_path)
    made(tmp_path, "out/more.csv", "n,m\n1,2\n")
    keep(settings, tmp_path, output_spec={"out/more.csv": outputs.MODERATE}, action="b")
    folder = settings.medium / "workspaces/w/metadata"
    assert os.listdir(folder) == ["manifest.json"]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest.keys() == {"workspace", "repo", "outputs"}
    assert (manifest["workspace"], manifest["repo"]) == ("w", None)
    ids, more = (manifest["outputs"][f"out/{name}.csv"] for name in ("ids", "more"))
    wanted = (
        "level job_id job_request action user repo commit size timestamp content_hash"
    )
    assert ids.keys() == {
        *wanted.split(),
        "excluded",
        "message",
        "row_count",
        "col_count",
    }
    assert (ids["action"], ids["excluded"], ids["row_count"]) == ("a", True, 1)
    assert (more["action"], more["excluded"], more["col_count"]) == ("b", False, 2)


def test_nobody_sees_half_an_output(tmp_path, monkeypatch):
    seen = []

    def copying(source, target):
        seen.append((target.name, os.listdir(tmp_path / "there")))
        target.write_text("half")

    made(tmp_path, "a.csv", "whole")
    monkeypatch.setattr(outputs.shutil, "copy", copying)
    outputs.copy(tmp_path / "volume/a.csv", tmp_path / "there/a.csv")
    ((name, present),) = seen
    assert re.fullmatch(r"a\.csv\.[0-9a-f]{16}\.tmp", name)
    assert present == []
    assert os.listdir(tmp_path / "there") == ["a.csv"]


def test_secrets_are_in_no_argv_and_no_log(settings, monkeypatch):
    argv, env = [], {}
    monkeypatch.setattr(docker.socket, "gethostbyname", lambda name: "192.0.2.30")
    monkeypatch.setattr(
        docker, "docker", lambda *words, **more: (argv.extend(words), env.update(more))
    )
    wanted = definition(allow_database_access=True, cpu_count=2, memory_limit="4G")
    docker.start(settings, wanted, "os-job-abc", settings.volumes / "abc")
    assert "hunter2" not in " ".join(argv)
    assert env["env"] == {"DATABASE_URL": SECRET}
    for word in (
        *(
            "--network=jobrunner-db",
            "--dns=192.0.2.0",
            "--add-host=database:192.0.2.30",
        ),
        *("--user=10000:10000", "--cap-drop=ALL", "--cpus=2", "--memory=4G", "--init"),
        *(
            "--label=job-runner",
            "--label=workspace=w",
            "--pull=never",
            "--env=HOME=/tmp",
        ),
        "docker-proxy.opensafely.org/opensafely-core/python@sha256:1",
    ):
        assert word in argv
    shown = job.redacted({"Config": {"Env": [f"DATABASE_URL={SECRET}", "HOME=/tmp"]}})
    assert "hunter2" not in str(shown)
    assert "HOME=/tmp" in shown["Config"]["Env"]


@pytest.mark.parametrize(
    ("env", "reach"),
    [({}, ["--network=none"]), ({"USING_DUMMY_DATA_BACKEND": "True"}, [])],
)
def test_networks(settings, env, reach):
    dummy = bool(env)
    chosen = config.read(
        {"BACKEND": "test", "CONTROLLER_TASK_API_ENDPOINT": "https://x.invalid", **env}
    )
    assert docker.network(chosen, definition(allow_database_access=dummy)) == (
        reach,
        {},
    )


@pytest.mark.parametrize(
    "env", [{}, {"BACKEND": "nowhere"}, {"PRESTO_TLS_KEY_PATH": "/x"}]
)
def test_what_the_agent_refuses_to_start_with(env):
    with pytest.raises(SystemExit):
        config.read({"BACKEND": "test", **env} if "PRESTO_TLS_KEY_PATH" in env else env)


# ---- what the controller may send


def task(kind="runjob", **fields):
    more = {"inputs": [], "input_job_ids": [], "study": {}}
    given = {**definition(**more), "task_id": "abc-001"}
    facts = {"id": "abc-001", "backend": "test", "type": kind, "definition": given}
    return {**facts, "attributes": {}, "created_at": 1, **fields}


def test_a_field_that_it_does_not_know_ends_it(settings, monkeypatch):
    """In a task at once, for all; in a job's definition with that job, and all others have their turn."""
    sent = []
    monkeypatch.setattr(tasks, "ask", lambda *_: {"tasks": sent})
    sent.append(task(newer=1))
    with pytest.raises(TypeError, match="newer"):
        tasks.listed(settings)
    sent[:] = [task("deletejob")]
    with pytest.raises(KeyError):
        tasks.listed(settings)
    cancelled = task(
        "canceljob", definition={**task()["definition"], "image_sha": None}
    )
    less = {k: v for k, v in task()["definition"].items() if k != "image_sha"}
    more = {**task()["definition"], "newer": 1}
    sent[:] = [task(definition=more), task(definition=less), cancelled]
    told = []
    monkeypatch.setattr(agent, "cancel", lambda _, each, __: told.append(each.type))
    with pytest.raises(RuntimeError, match="Some tasks failed"):
        agent.loop(settings)
    assert told == ["canceljob"]


@pytest.mark.parametrize(
    ("kind", "asked", "word", "status"),
    [
        ("dbstatus", {"database_name": "default"}, "none;0", ""),
        (
            "dbstatus",
            {"database_name": "default"},
            "db-maintenance;1",
            "db-maintenance",
        ),
        ("dbstatus", {"database_name": "default"}, "patient 1", None),
        ("dbstatus", {"database_name": "default", "newer": "1"}, "none;0", None),
        ("dbdatacheck", {"hes_expected_activity_month": "2026-10-01"}, "OK", "OK"),
        ("dbdatacheck", {"database_name": "default"}, "OK", None),
    ],
)
def test_questions_to_the_database(settings, monkeypatch, kind, asked, word, status):
    """What goes wrong is told to the controller, and no more than a word ever is."""

    def ran(*argv, **_):
        return docker.subprocess.CompletedProcess(
            argv, 0, f"warning\n{word}\n".encode()
        )

    monkeypatch.setattr(docker, "docker", ran)
    monkeypatch.setattr(docker.socket, "gethostbyname", lambda name: "192.0.2.30")
    image = {"image": "ghcr.io/opensafely-core/x:latest", "image_sha": "sha256:1"}
    given = tasks.Task(**task(kind, definition={**asked, **image}))
    found = database.ask(settings, given)
    assert found["results"] == (None if status is None else {"status": status})
    assert (found["error"] is None) == (status is not None)
