"""The job's container, by docker's own client."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path
from typing import Any, Mapping
from urllib.parse import urlsplit

from sandbox.agent.config import Config, Definition


NOBODY = "192.0.2.0"
LABELS = ("job-runner", "jobrunner-local")
# Logs of a job may be long, but not without end.
LOGS = ("--log-driver=local", "--log-opt=max-size=20m", "--log-opt=max-file=200")


def docker(
    *argv: str,
    check: bool = True,
    timeout_s: float = 300,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """What docker said; what it fails at ends the process."""
    done = subprocess.run(
        ["docker", *argv],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout_s,
        env={**os.environ, **(env or {})},
    )
    if check and done.returncode:
        raise RuntimeError(f"docker {argv[0]}: {done.stderr.decode().strip()}")
    return done


def image(config: Config, definition: Definition) -> str:
    """By digest, at the proxy in place of the registry."""
    name = definition["image"].replace(config.registry, config.proxy, 1)
    return f"{name.rpartition(':')[0] or name}@{definition['image_sha']}"


def pull(config: Config, definition: Definition) -> None:
    name = image(config, definition)
    docker("pull", "--quiet", name, timeout_s=config.pull_timeout_s)


def start(config: Config, definition: Definition, name: str, volume: Path) -> None:
    """The container runs by itself from here on."""
    reach, env = network(config, definition)
    env = {**definition["env"], **env}
    labels = (
        *LABELS,
        f"workspace={definition['workspace']}",
        f"action={definition['action']}",
    )
    docker(
        *("run", "--detach", "--init", f"--name={name}", "--pull=never"),
        *(f"--label={label}" for label in labels),
        *(f"--user={config.user}", "--cap-drop=ALL"),
        *("--security-opt=no-new-privileges", "--env=HOME=/tmp", *LOGS),
        *limits(definition),
        f"--mount=type=bind,source={volume},target=/workspace",
        *reach,
        # The names alone: anybody may read an argv.
        *(word for key in env for word in ("--env", key)),
        image(config, definition),
        *definition["args"],
        env=env,
    )


def limits(definition: Definition) -> list[str]:
    cpus, memory = definition.get("cpu_count"), definition.get("memory_limit")
    return [f"--cpus={cpus}"] * bool(cpus) + [f"--memory={memory}"] * bool(memory)


def network(
    config: Config, definition: Definition
) -> tuple[list[str], Mapping[str, str]]:
    """What a job can reach: nothing, or the database, or with dummy data what docker says."""
    if not definition["allow_database_access"]:
        return ["--network=none"], {}
    if config.dummy:
        return [], {}
    return of_database(config), {"DATABASE_URL": config.database}


def of_database(config: Config) -> list[str]:
    host = str(urlsplit(config.database).hostname)
    known = f"--add-host={host}:{socket.gethostbyname(host)}"
    return [f"--network={config.network}", f"--dns={NOBODY}", known]


def inspect(name: str) -> Mapping[str, Any] | None:
    """All that docker knows of a container, None if there is none."""
    done = docker("container", "inspect", name, check=False)
    if done.returncode and b"no such container" in done.stderr.lower():
        return None
    if done.returncode:
        raise RuntimeError(done.stderr.decode().strip())
    found: Mapping[str, Any] = json.loads(done.stdout)[0]
    return found
