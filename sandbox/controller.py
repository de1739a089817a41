"""The controller as a test sees it: give it work, and see what an agent said of it.

What agents hear is in taskapi.py, another process; the two share a folder.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping

from sandbox.errors import SandboxError
from sandbox.images import DATABASE_UTILS, PYTHON, Images
from sandbox.taskapi import LOG, TASKS, folders, records, save


Update = Dict[str, Any]
MODERATE, HIGH = "moderately_sensitive", "highly_sensitive"


@dataclass(frozen=True)
class Job:
    """A job as it was asked for; `id` names its container, `task` what is said of it."""

    id: str
    task: str
    backend: str
    definition: Mapping[str, Any]

    @property
    def container(self) -> str:
        return f"os-job-{self.id}"


class Controller:
    """Tasks that agents of these backends are told of, and all that they asked and said."""

    def __init__(self, folder: Path, tokens: Mapping[str, str], images: Images) -> None:
        self.folder, self.tokens, self.images = folder, tokens, images
        folders(folder)

    def add(
        self,
        backend: str,
        *args: str,
        outputs: Mapping[str, str] | None = None,
        database: bool = False,
        **fields: Any,
    ) -> Job:
        """A job that runs Python with these arguments, as `"-c", "print('hello')"`.

        `outputs` says which files are kept, by pattern, and at which level; `fields` go
        over the definition's own.
        """
        identity = secrets.token_hex(8)
        task = f"{identity}-001"
        definition = {
            "id": identity,
            "rap_id": secrets.token_hex(8),
            "task_id": task,
            "repo_url": "https://github.com/opensafely/invented",
            "commit": "0" * 40,
            "study": {
                "git_repo_url": "https://github.com/opensafely/invented",
                "commit": "0" * 40,
                "branch": "main",
            },
            "workspace": "invented",
            "action": "generate",
            "created_at": int(time.time()),
            "image": f"ghcr.io/{PYTHON}:v2",
            "image_sha": self.images.digest(PYTHON, "v2"),
            "args": list(args),
            "env": {"OPENSAFELY_BACKEND": backend},
            "inputs": [],
            "input_job_ids": [],
            "output_spec": dict(outputs or {}),
            "allow_database_access": database,
            "database_name": "default" if database else None,
            "level4_max_csv_rows": 5000,
            "level4_max_filesize": 16 << 20,
            "level4_file_types": [".csv", ".txt", ".png"],
            "cpu_count": 1,
            "memory_limit": "256m",
            "user": "ada",
            **fields,
        }
        self.give(backend, "runjob", task, definition)
        return Job(identity, task, backend, definition)

    def cancel(self, job: Job) -> str:
        """The id of a task that ends the job; the one that asked for it is off the list."""
        self.withdraw(job.task)
        task = f"{job.task}-cancel"
        definition = {**job.definition, "task_id": task, "image_sha": None}
        self.give(job.backend, "canceljob", task, definition)
        return task

    def status(self, backend: str) -> str:
        """The id of a task that asks whether the database is being worked on."""
        return self._question(backend, "dbstatus", database_name="default")

    def data_check(self, backend: str) -> str:
        """The id of a task that asks how far the data in the database goes."""
        month = "2026-10-01"
        return self._question(backend, "dbdatacheck", hes_expected_activity_month=month)

    def _question(self, backend: str, kind: str, **definition: str) -> str:
        task = secrets.token_hex(8)
        image = {
            "image": f"ghcr.io/{DATABASE_UTILS}:latest",
            "image_sha": self.images.digest(DATABASE_UTILS),
        }
        self.give(backend, kind, task, {**definition, **image})
        return task

    def give(
        self,
        backend: str,
        kind: str,
        task: str,
        definition: Mapping[str, Any],
        **fields: Any,
    ) -> None:
        """A task of any kind is on the list, with these fields more than agents know."""
        facts = {
            "id": task,
            "backend": backend,
            "type": kind,
            "definition": definition,
            "attributes": {},
            "created_at": int(time.time()),
            **fields,
        }
        save(self.folder / TASKS / f"{task}.json", facts)

    def withdraw(self, task: str) -> None:
        """The task is off the list, whatever became of it."""
        (self.folder / TASKS / f"{task}.json").unlink(missing_ok=True)

    def listed(self) -> list[str]:
        """Tasks that agents are still told of."""
        return sorted(path.stem for path in (self.folder / TASKS).glob("*.json"))

    def asked(self, since: float = 0, address: str = "") -> list[Update]:
        """Every question since a time.time(), of all hosts or of one, oldest first:

        `at`, `address`, `method`, `path`, `status`, and with updates `payload`.
        """
        return [
            found
            for found in records(self.folder / LOG)
            if found["at"] >= since and address in ("", found["address"])
        ]

    def polls(self, since: float = 0, address: str = "") -> list[float]:
        """When an agent was told what there is to do."""
        return [
            found["at"]
            for found in self.asked(since, address)
            if found["status"] == 200 and found["path"].endswith("/tasks/")
        ]

    def updates(self, task: str) -> list[Update]:
        """What was said of a task: `stage`, `results`, `complete`, `timestamp_ns`."""
        said = [found["payload"] for found in self.asked() if "payload" in found]
        return [payload for payload in said if payload["task_id"] == task]

    def stages(self, task: str) -> list[str]:
        """Its stages in order, each once however often it was told."""
        return list(dict.fromkeys(update["stage"] for update in self.updates(task)))

    def wait(
        self, task: str, stage: str = "finalized", timeout_s: float = 60
    ) -> Update:
        """The first update that said so; by default, of what came of a job at its end."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = [each for each in self.updates(task) if each["stage"] == stage]
            if found:
                return found[0]
            if time.monotonic() > deadline:
                reached = ", ".join(self.stages(task)) or "nothing"
                raise SandboxError(
                    f"{task} did not reach {stage} in {timeout_s:.0f} s; it reached {reached}"
                )
            time.sleep(0.05)

    def wait_poll(
        self, since: float | None = None, address: str = "", timeout_s: float = 60
    ) -> float:
        """When somebody next asked for work, from now or from a time.time() on."""
        since = time.time() if since is None else since
        deadline = time.monotonic() + timeout_s
        while not (found := self.polls(since, address)):
            if time.monotonic() > deadline:
                raise SandboxError(f"nobody asked for work in {timeout_s:.0f} s")
            time.sleep(0.05)
        return found[0]

    def reset(self) -> None:
        """No task is listed, and nothing that was asked counts any more."""
        for task in self.listed():
            self.withdraw(task)
        (self.folder / LOG).write_text("")
