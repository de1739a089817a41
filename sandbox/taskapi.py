"""What an agent hears from the controller: its tasks, and whether it was understood."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping
from urllib.parse import parse_qs

from sandbox.answer import Answer


TASKS, DONE, LOG = "tasks", "done", "log.jsonl"
FIELDS = {"task_id", "stage", "results", "complete", "timestamp_ns"}
JSON = {"Content-Type": "application/json"}
Record = Dict[str, Any]
_writing = threading.Lock()


def answer(
    folder: Path,
    tokens: Mapping[str, str],
    asked: Record,
    token: str | None,
    body: bytes,
) -> Answer:
    """The answer to a question, of which the folder has a record now.

    `asked` is what the record starts with: method, path and address.
    """
    said, payload = consider(folder, tokens, asked, token, body)
    record = {"at": time.time(), **asked, "status": said.status}
    if payload is not None:
        record["payload"] = payload
    with _writing, (folder / LOG).open("a") as log:
        log.write(json.dumps(record) + "\n")
    return said


def consider(
    folder: Path,
    tokens: Mapping[str, str],
    asked: Record,
    token: str | None,
    body: bytes,
) -> tuple[Answer, Record | None]:
    """The answer, and with an update that was taken what it said."""
    method, path = asked["method"], asked["path"]
    if path == "/":
        return told({"method": method}), None
    backend, _, rest = path.lstrip("/").partition("/")
    if rest not in ("tasks/", "task/update/"):
        return Answer(b"<h1>Not Found</h1>\n", 404, {"Content-Type": "text/html"}), None
    if backend not in tokens:
        why = f"Backend '{backend}' not found"
        return told({"error": "Not found", "details": why}, 404), None
    if token != tokens[backend]:
        why = "No token provided" if not token else f"Invalid token for {backend}"
        return told({"error": "Unauthorized", "details": why}, 401), None
    if method != ("GET" if rest == "tasks/" else "POST"):
        return Answer(b"", 405, {"Allow": "GET" if rest == "tasks/" else "POST"}), None
    if rest == "tasks/":
        return told({"tasks": list(tasks(folder, backend))}), None
    return update(folder, backend, body)


def update(folder: Path, backend: str, body: bytes) -> tuple[Answer, Record | None]:
    """A task has reached a stage; one that is complete is off the list."""
    try:
        payload = json.loads(parse_qs(body.decode())["payload"][0])
        if not (isinstance(payload, dict) and payload.keys() == FIELDS):
            raise ValueError("no update")
        listed, done = (
            folder / kind / f"{payload['task_id']}.json" for kind in (TASKS, DONE)
        )
        known = next(path for path in (listed, done) if path.exists())
        if json.loads(known.read_text())["backend"] != backend:
            raise ValueError("another backend's")
    except (KeyError, ValueError, StopIteration):
        return told({"error": "Error updating task"}, 500), None
    if payload["complete"] and listed.exists():
        listed.rename(done)
    return told({"response": "Update successful"}), payload


def tasks(folder: Path, backend: str) -> Iterator[Record]:
    """Those of a backend: whether there is a database first, then the oldest."""
    found = [json.loads(path.read_text()) for path in (folder / TASKS).glob("*.json")]
    for task in sorted(found, key=order):
        if task["backend"] == backend:
            yield task


def order(task: Record) -> tuple[bool, int, str]:
    return task["type"] != "dbstatus", task["created_at"], task["id"]


def told(value: Record, status: int = 200) -> Answer:
    return Answer(json.dumps(value).encode(), status, JSON)


def folders(folder: Path) -> None:
    """The places of tasks and of the log are there."""
    for kind in (TASKS, DONE):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    (folder / LOG).touch()


def records(log: Path) -> list[Record]:
    """What was asked so far; a line that is being written does not count yet."""
    text = log.read_text()
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def save(path: Path, value: Record) -> None:
    """The file has this value, never half of it."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(value))
    new.rename(path)
