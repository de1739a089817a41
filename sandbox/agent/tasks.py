"""Talking to the controller. What goes wrong is raised, and ends the process."""

from __future__ import annotations

import http.client
import json
import select
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping
from urllib.parse import urlencode, urljoin, urlsplit

from sandbox.agent.config import Config, Definition


# Of a job's definition: what it must have, and what it may.
NEEDED = frozenset(
    {
        *("id", "rap_id", "repo_url", "commit", "workspace", "action", "created_at"),
        *("image", "image_sha", "args", "env", "inputs", "input_job_ids"),
        *("output_spec", "allow_database_access"),
        *("level4_max_csv_rows", "level4_max_filesize"),
    }
)
KNOWN = NEEDED | {
    *("task_id", "study", "user", "database_name", "cpu_count", "memory_limit"),
    "level4_file_types",
}
# An image of an agent that is older, which the controller has left behind.
OLDER = Path(__file__).with_name("older").exists()
KINDS = ("runjob", "canceljob", "dbstatus", "dbdatacheck")
_kept = threading.local()


@dataclass(frozen=True)
class Task:
    """As the controller tells it: a field more than these is a TypeError."""

    id: str
    backend: str
    type: str
    definition: Definition
    attributes: Mapping[str, Any]
    created_at: int = 0


def listed(config: Config) -> list[Task]:
    """Every task there is for this backend."""
    tasks = [Task(**each) for each in ask(config, "tasks/")["tasks"]]
    for task in tasks:
        if task.type not in KINDS:
            raise KeyError(task.type)
    return tasks


def definition(task: Task) -> Definition:
    """A job's. Raises TypeError where it has not the fields that this agent knows."""
    missing, more = NEEDED - task.definition.keys(), task.definition.keys() - KNOWN
    more = more | {"user"} if OLDER else more
    for name in sorted(more):
        raise TypeError(
            f"JobDefinition.__init__() got an unexpected keyword argument {name!r}"
        )
    for name in sorted(missing):
        raise TypeError(
            f"JobDefinition.__init__() missing 1 required positional argument: {name!r}"
        )
    return task.definition


def update(
    config: Config,
    task: Task,
    stage: str,
    results: Mapping[str, Any] | None = None,
    complete: bool = False,
) -> None:
    """The controller knows how far a task has come."""
    payload = {
        "task_id": task.id,
        "stage": stage,
        "results": results or {},
        "complete": complete,
        "timestamp_ns": time.time_ns(),
    }
    ask(config, "task/update/", urlencode({"payload": json.dumps(payload)}))


def ask(config: Config, path: str, body: str | None = None) -> Mapping[str, Any]:
    """Over a connection that each thread keeps. No timeout, as the real agent has none."""
    url = urlsplit(urljoin(config.endpoint, f"{config.backend}/{path}"))
    kind = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
    there = connection(url.netloc)
    headers = {"Authorization": config.token, **kind}
    try:
        there.request("POST" if body else "GET", url.path, body, headers)
        reply = there.getresponse()
        text = reply.read()
    except BaseException:
        there.close()
        raise
    if reply.status != 200:
        raise RuntimeError(f"{reply.status} {reply.reason} for url: {url.geturl()}")
    said: Mapping[str, Any] = json.loads(text)
    return said


def connection(name: str) -> http.client.HTTPSConnection:
    """The one that was kept, or a new one where the other side has hung up."""
    kept: http.client.HTTPSConnection | None = getattr(_kept, "connection", None)
    if kept and kept.sock and select.select([kept.sock], [], [], 0)[0]:
        kept.close()
    if not kept:
        kept = _kept.connection = http.client.HTTPSConnection(name)
    return kept
