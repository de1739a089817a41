"""A job: how far it has come, as disk and docker say, and its next step."""

from __future__ import annotations

import json
import shutil
import time
from typing import Any, Dict, Mapping

from sandbox.agent import docker, outputs
from sandbox.agent.config import Config, Definition


MARK = ".opensafely-timestamp"
# Values of a container's environment that a log may show.
HARMLESS = {"PATH", "HOME", "LANG", "OPENSAFELY_BACKEND", "PYTHONUNBUFFERED"}
ARCHIVES = (".tar.gz", ".tar.zstd", ".tar.xz")
Results = Dict[str, Any]


class CannotRun(Exception):
    """The job as it is defined does not run here, however often it is tried."""


class Job:
    """Nothing is remembered here, so another agent may go on at any point."""

    def __init__(self, config: Config, definition: Definition) -> None:
        self.config, self.definition = config, definition
        self.name = f"os-job-{definition['id']}"
        self.volume = config.volumes / definition["id"]
        month = time.strftime("%Y-%m", time.gmtime(definition["created_at"]))
        self.log = config.high / "logs" / month / self.name

    def stage(self) -> str:
        """unknown, prepared, executing, executed or finalized."""
        metadata = self.log / "metadata.json"
        # What a full disk, or a kill, left of it is an error each time.
        if metadata.exists() and json.loads(metadata.read_text()):
            return "finalized"
        container = docker.inspect(self.name)
        if container:
            return "executing" if container["State"]["Running"] else "executed"
        return "prepared" if (self.volume / MARK).exists() else "unknown"

    def prepare(self) -> None:
        """Its image is here, and its folder with what it reads."""
        workspace = self.definition["workspace"]
        there = (self.config.high / "workspaces" / workspace).exists()
        archive = self.config.archives / workspace
        if not there and any(archive.with_suffix(e).exists() for e in ARCHIVES):
            raise CannotRun(f"Workspace {workspace} has been archived")
        docker.pull(self.config, self.definition)
        self.volume.mkdir(parents=True, exist_ok=True)
        # The code comes from a temporary folder, and the mode with it.
        self.volume.chmod(0o700)
        for name in self.definition["inputs"]:
            source = self.config.high / "workspaces" / workspace / name
            if not source.exists():
                raise CannotRun(f"The file {name} doesn't exist in {workspace}")
            outputs.copy(source, self.volume / name)
        (self.volume / MARK).write_text(str(time.time_ns()))

    def execute(self) -> None:
        docker.start(self.config, self.definition, self.name, self.volume)

    def finalize(self, cancelled: bool = False) -> None:
        """Outputs and logs are where people look for them."""
        container = docker.inspect(self.name) or {}
        state = container.get("State", {})
        found, unmatched = outputs.matching(self.definition, self.volume)
        excluded: Mapping[str, str] = {}
        if not cancelled and container:
            excluded = outputs.keep(self.config, self.definition, self.volume, found)
        facts = {
            **{key: self.definition[key] for key in ("id", "task_id", "workspace")},
            "action": self.definition["action"],
            "exit_code": state.get("ExitCode"),
            "oom_killed": state.get("OOMKilled"),
            "docker_image_id": container.get("Image"),
            "status_message": message(state, cancelled),
            "cancelled": cancelled,
            "outputs": found,
            "unmatched_patterns": unmatched,
            "level4_excluded_files": excluded,
            "timestamp_ns": time.time_ns(),
            "container_metadata": redacted(container),
        }
        self._write_logs(facts, copies=not cancelled and bool(container))

    def _write_logs(self, facts: Results, copies: bool) -> None:
        """metadata.json comes last: with it the job counts as finalized."""
        self.log.mkdir(parents=True, exist_ok=True)
        said = docker.docker("logs", "--timestamps", self.name, check=False)
        shown = {key: facts[key] for key in ("exit_code", "status_message", "outputs")}
        text = (said.stdout + said.stderr).decode(errors="replace")
        outputs.write(self.log / "logs.txt", f"{text}\n{json.dumps(shown, indent=2)}\n")
        for base in (self.config.high, self.config.medium) if copies else ():
            folder = base / "workspaces" / self.definition["workspace"] / "metadata"
            outputs.copy(self.log / "logs.txt", folder / f"{facts['action']}.log")
        (self.log / "metadata.json").write_text(json.dumps(facts, indent=2))

    def results(self) -> Results:
        """What the controller hears: no names of outputs."""
        facts: Results = json.loads((self.log / "metadata.json").read_text())
        del facts["container_metadata"], facts["outputs"]
        unmatched = facts.pop("unmatched_patterns")
        excluded = facts.pop("level4_excluded_files")
        return {
            **facts,
            "has_unmatched_patterns": bool(unmatched),
            "has_level4_excluded_files": bool(excluded),
        }

    def kill(self) -> None:
        if (docker.inspect(self.name) or {}).get("State", {}).get("Running"):
            docker.docker("kill", self.name)

    def clean(self) -> None:
        """Its container and its folder are gone."""
        docker.docker("rm", "--force", self.name, check=False)
        shutil.rmtree(self.volume, ignore_errors=True)


def message(state: Mapping[str, Any], cancelled: bool) -> str | None:
    if cancelled:
        return "Job cancelled by system"
    if state.get("OOMKilled"):
        return "Job ran out of memory"
    if state.get("ExitCode") == 137:
        return "Job killed by OpenSAFELY admin or memory limits"
    return None if state.get("ExitCode") else "Completed successfully"


def redacted(container: Mapping[str, Any]) -> Mapping[str, Any]:
    """What docker says of a container, without what its environment may have of secrets."""
    if not container:
        return {}
    settings = dict(container["Config"])
    pairs = (pair.partition("=") for pair in settings["Env"])
    settings["Env"] = [
        f"{name}={value if name in HARMLESS else 'xxxx-REDACTED-xxxx'}"
        for name, _, value in pairs
    ]
    return {**container, "Config": settings}
