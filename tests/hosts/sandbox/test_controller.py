"""The controller and the registry as agents and docker meet them, and as tests see them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from urllib.parse import urlencode

import pytest

from sandbox.answer import Answer
from sandbox.errors import SandboxError
from sandbox.outside import CONTROLLER, DATABASE, DATABASE_PORTS, DOCKER_PROXY
from sandbox.registry import MANIFEST


pytestmark = pytest.mark.share("job-runner")

# The name is not looked up: the address is the one that the checkout pins.
ASK = """
import http.client, json, socket, ssl, sys
address, name, trusted, method, path, headers, body = sys.argv[1:]
context = ssl.create_default_context(cafile=trusted)
there = socket.create_connection((address, 443), 5)
try:
    connection = http.client.HTTPSConnection(name)
    connection.sock = context.wrap_socket(there, server_hostname=name)
    connection.request(method, path, body.encode() or None, json.loads(headers))
    reply = connection.getresponse()
    said = reply.read().decode("latin-1")
    print(json.dumps([reply.status, said, dict(reply.headers)]))
except OSError as error:
    print(json.dumps([0, repr(error), {}]))
"""


@pytest.fixture
def ask(lab, outside):
    """ask(method, path): status and body, and where wanted the headers, of an answer."""

    def asked(method, path, name=CONTROLLER, headers=None, body=""):
        trusted = outside.authority.certificate
        words = (lab.pinned[0], name, trusted, method, path, json.dumps(headers or {}))
        program = lab.inside(sys.executable, "-Ic", ASK, *words, body)
        status, said, told = json.loads(subprocess.check_output(program, text=True))
        asked.headers = told
        kind = told.get("Content-Type", "")
        return status, json.loads(said) if kind == "application/json" else said

    return asked


@pytest.fixture
def agent(ask, controller):
    """As an agent of the backend test asks."""

    def asked(method, path, body="", token=controller.tokens["test"]):
        headers = {"Authorization": token} if token else {}
        if body:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        return ask(method, path, headers=headers, body=body)

    return asked


def update(task, stage, complete=False, **more):
    facts = {
        **{"task_id": task, "stage": stage, "results": {"exit_code": 0}},
        **{"complete": complete, "timestamp_ns": time.time_ns(), **more},
    }
    return urlencode({"payload": json.dumps(facts)})


def test_who_may_ask(agent, controller):
    assert agent("GET", "/", token="") == (200, {"method": "GET"})
    assert agent("GET", "/test/tasks/") == (200, {"tasks": []})
    status, said = agent("GET", "/nowhere/tasks/", token="")
    assert (status, said["error"]) == (404, "Not found")
    for token in ("", "wrong", f"Bearer {controller.tokens['test']}"):
        status, said = agent("GET", "/test/tasks/", token=token)
        assert (status, said["error"]) == (401, "Unauthorized")
        assert said["details"]
    assert agent("GET", "/elsewhere")[0] == 404
    assert len(controller.polls()) == 1


def test_a_task_is_listed_until_it_is_complete(agent, controller):
    job = controller.add(
        "test", "-c", "print(1)", outputs={"a.csv": "highly_sensitive"}
    )
    other = controller.add("tpp", "-c", "print(1)")
    (task,) = agent("GET", "/test/tasks/")[1]["tasks"]
    kinds = {"id": str, "backend": str, "type": str, "created_at": int}
    assert {key: type(task[key]) for key in kinds} == kinds
    assert task.keys() == {*kinds, "definition", "attributes"}
    assert task["definition"]["output_spec"] == {"a.csv": "highly_sensitive"}
    url = "/test/task/update/"
    understood = (200, {"response": "Update successful"})
    assert agent("POST", url, update(job.task, "preparing")) == understood
    assert agent("GET", "/test/tasks/")[1]["tasks"] == [task]
    assert agent("POST", url, update(job.task, "finalized", True)) == understood
    assert agent("GET", "/test/tasks/")[1]["tasks"] == []
    # The answer may have been lost, and the agent says it again.
    assert agent("POST", url, update(job.task, "finalized", True)) == understood
    assert controller.stages(job.task) == ["preparing", "finalized"]
    assert controller.wait(job.task)["results"] == {"exit_code": 0}
    assert controller.listed() == [other.task]


def test_updates_that_are_not_understood(agent, controller):
    job = controller.add("test", "-c", "print(1)")
    other = controller.add("tpp", "-c", "print(1)")
    url = "/test/task/update/"
    for body in (
        update("unknown-001", "preparing"),
        update(other.task, "preparing"),
        update(job.task, "preparing", surplus=1),
        urlencode({"payload": "{}"}),
        urlencode({"payload": "no json"}),
        json.dumps({"task_id": job.task}),
        "",
    ):
        assert agent("POST", url, body) == (500, {"error": "Error updating task"})
    assert agent("GET", url)[0] == 405
    assert agent("POST", url, update(job.task, "x"), token="")[0] == 401
    assert controller.stages(job.task) == []
    with pytest.raises(
        SandboxError, match="did not reach finalized in 0 s; it reached"
    ):
        controller.wait(job.task, timeout_s=0)


def test_a_job_is_cancelled_by_another_task(agent, controller):
    job = controller.add("test", "-c", "print(1)")
    task = controller.cancel(job)
    (listed,) = agent("GET", "/test/tasks/")[1]["tasks"]
    assert (listed["type"], listed["id"]) == ("canceljob", task)
    assert listed["definition"]["id"] == job.id
    assert listed["definition"]["image_sha"] is None


def test_questions_to_the_database_come_first(agent, controller):
    job = controller.add("test", "-c", "print(1)", newer=1)
    controller.give("test", "runjob", "newer-001", job.definition, newer=1)
    check, status = controller.data_check("test"), controller.status("test")
    listed = agent("GET", "/test/tasks/")[1]["tasks"]
    assert (listed[0]["id"], listed[0]["type"]) == (status, "dbstatus")
    by_id = {task["id"]: task for task in listed}
    image = {"image", "image_sha"}
    assert listed[0]["definition"].keys() == {"database_name", *image}
    wanted = {"hes_expected_activity_month", *image}
    assert by_id[check]["definition"].keys() == wanted
    assert by_id[job.task]["definition"]["newer"] == by_id["newer-001"]["newer"] == 1


def test_polls_do_not_drown_what_others_asked(agent, controller, outside):
    began = time.time()
    agent("GET", "/test/tasks/")
    agent("GET", "/", token="")
    assert outside.requests() == [f'{CONTROLLER} "GET / HTTP/1.1" 200 -']
    assert began < controller.wait_poll(began) < time.time()
    with pytest.raises(SandboxError, match="nobody asked"):
        controller.wait_poll(timeout_s=0)


def test_the_controllers_bad_days(agent, controller, outside):
    outside.answer(CONTROLLER, "*", Answer(b"Bad Gateway", 502))
    assert agent("GET", "/test/tasks/") == (502, "Bad Gateway")
    outside.reset()
    outside.stop([CONTROLLER])
    assert agent("GET", "/test/tasks/")[0] == 0
    assert controller.polls() == []
    outside.start()
    assert agent("GET", "/test/tasks/")[0] == 200


def manifest(ask, tag, method="GET"):
    path = f"/v2/opensafely-core/job-runner/manifests/{tag}"
    return ask(method, path, DOCKER_PROXY, {"Accept": MANIFEST})


def test_an_image_by_tag_and_by_digest(ask, outside):
    first, second = (outside.images.digest("job-runner", tag) for tag in ("v1", "v2"))
    status, said = manifest(ask, "latest")
    assert (status, ask.headers["Docker-Content-Digest"]) == (200, first)
    assert "sha256:" + hashlib.sha256(said.encode()).hexdigest() == first
    assert manifest(ask, first)[1] == said
    assert manifest(ask, "latest", "HEAD") == (200, "")
    for layer in json.loads(said)["layers"]:
        blob = f"/v2/opensafely-core/job-runner/blobs/{layer['digest']}"
        assert ask("HEAD", blob, DOCKER_PROXY)[0] == 200
        assert ask.headers["Content-Length"] == str(layer["size"])
    assert outside.tag("job-runner", "v2") == second
    manifest(ask, "latest")
    assert ask.headers["Docker-Content-Digest"] == second
    outside.reset()
    manifest(ask, "latest")
    assert ask.headers["Docker-Content-Digest"] == first


def test_the_proxy_is_there_to_be_read_from(ask, outside):
    assert ask("GET", "/v2/", DOCKER_PROXY)[0] == 200
    upload = "/v2/opensafely-core/job-runner/blobs/uploads/"
    assert ask("POST", upload, DOCKER_PROXY)[0] == 405
    assert manifest(ask, "nothing")[0] == 404
    outside.stop([DOCKER_PROXY])
    assert manifest(ask, "latest")[0] == 0
    outside.start()
    outside.wrong_authority([DOCKER_PROXY])
    assert "CERTIFICATE_VERIFY_FAILED" in manifest(ask, "latest")[1]


def test_a_database_greets(lab, outside):
    greet = (
        "import socket, sys\n"
        "print(socket.create_connection(sys.argv[1:], 2).recv(9).decode())"
    )
    for port in DATABASE_PORTS:
        program = lab.inside(sys.executable, "-Ic", greet, DATABASE, port)
        assert subprocess.check_output(program, text=True) == "sandbox\n\n"
