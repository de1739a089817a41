"""Talking to the controller. What goes wrong is raised, and ends the process."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any, Mapping
from urllib.parse import urlencode, urljoin

from sandbox.agent.config import Config


def listed(config: Config) -> list[Mapping[str, Any]]:
    """Every task there is for this backend."""
    tasks: list[Mapping[str, Any]] = ask(config, "tasks/")["tasks"]
    return tasks


def update(
    config: Config,
    task: Mapping[str, Any],
    stage: str,
    results: Mapping[str, Any] | None = None,
    complete: bool = False,
) -> None:
    """The controller knows how far a task has come."""
    payload = {
        "task_id": task["id"],
        "stage": stage,
        "results": results or {},
        "complete": complete,
        "timestamp_ns": time.time_ns(),
    }
    ask(config, "task/update/", urlencode({"payload": json.dumps(payload)}).encode())


def ask(config: Config, path: str, body: bytes | None = None) -> Mapping[str, Any]:
    """No timeout, as the real agent has none."""
    url = urljoin(config.endpoint, f"{config.backend}/{path}")
    request = urllib.request.Request(url, body, {"Authorization": config.token})
    with urllib.request.urlopen(request) as reply:
        said: Mapping[str, Any] = json.load(reply)
        return said
