"""What the controller wants to know of the database: a tool's last word, if it is one of a few."""

from __future__ import annotations

from typing import Any, Mapping

from sandbox.agent import docker
from sandbox.agent.config import Config
from sandbox.agent.tasks import Task


# Names of what the controller sends with each.
QUESTIONS: Mapping[str, frozenset[str]] = {
    "dbstatus": frozenset({"database_name", "image", "image_sha"}),
    "dbdatacheck": frozenset({"hes_expected_activity_month", "image", "image_sha"}),
}
MAINTENANCE = "db-maintenance"
WORDS = {
    "dbstatus": {
        "",
        MAINTENANCE,
        *(f"{what};{n}" for what in (MAINTENANCE, "none") for n in range(3)),
    },
    "dbdatacheck": {"OK", "FAILED"},
}


def ask(config: Config, task: Task) -> Mapping[str, Any]:
    """What the controller is told; what goes wrong is told too, and ends nothing."""
    try:
        if task.definition.keys() != QUESTIONS[task.type]:
            raise TypeError(f"unexpected arguments: {sorted(task.definition)}")
        status = _asked(config, task)
    except Exception as error:
        said = {"type": type(error).__name__, "message": str(error)}
        return {"results": None, "error": said}
    return {"results": {"status": status}, "error": None}


def _asked(config: Config, task: Task) -> str:
    given = task.definition
    if task.type == "dbstatus":
        question = ["in_maintenance_mode"]
        if given["database_name"] != "default":
            raise KeyError(given["database_name"])
    else:
        question = ["hes_cutoff_date_check", given["hes_expected_activity_month"]]
    if not config.database:
        raise KeyError("default")
    docker.pull(config, given)
    done = docker.docker(
        *("run", "--rm", "--env", "DATABASE_URL", *docker.of_database(config)),
        *(docker.image(config, given), *question),
        env={"DATABASE_URL": config.database},
    )
    word = done.stdout.decode().strip().rpartition("\n")[2].strip()
    if word not in WORDS[task.type]:
        raise ValueError(f"Invalid status: {word!r}")
    if task.type == "dbstatus":
        return MAINTENANCE if word.startswith(MAINTENANCE) else ""
    return word
