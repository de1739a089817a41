"""What the agent is told through its environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping


@dataclass(frozen=True)
class Config:
    """Names and defaults are the real agent's."""

    backend: str
    endpoint: str
    token: str
    high: Path
    medium: Path
    volumes: Path
    archives: Path
    user: str
    network: str
    proxy: str
    registry: str
    dummy: bool
    database: str
    interval_s: float
    measures_s: float
    pull_timeout_s: float


def read(env: Mapping[str, str]) -> Config:
    """Dies where the real one dies, before the first question."""
    known = env.get("BACKENDS", "test,tpp,emis,ted").split(",")
    if env.get("BACKEND") not in known:
        raise SystemExit(f"BACKEND is {env.get('BACKEND')!r}, wanted one of {known}")
    presto = [env.get(f"PRESTO_TLS_{kind}_PATH") for kind in ("KEY", "CERT")]
    if any(presto) and not all(path and Path(path).exists() for path in presto):
        raise SystemExit("PRESTO_TLS_KEY_PATH and _CERT_PATH: both, and files, or none")
    work = Path(env.get("WORKDIR", "workdir"))
    high = Path(env.get("HIGH_PRIVACY_STORAGE_BASE", work / "high_privacy"))
    user, group = (
        env.get(f"DOCKER_{kind}_ID") or own
        for kind, own in (("USER", os.geteuid()), ("GROUP", os.getegid()))
    )
    return Config(
        backend=env["BACKEND"],
        endpoint=env["CONTROLLER_TASK_API_ENDPOINT"],
        token=env.get("CONTROLLER_TASK_API_TOKEN", "token"),
        high=high,
        medium=Path(env.get("MEDIUM_PRIVACY_STORAGE_BASE", work / "medium_privacy")),
        volumes=Path(env.get("HIGH_PRIVACY_VOLUME_DIR") or high / "volumes"),
        archives=Path(env.get("HIGH_PRIVACY_ARCHIVE_DIR") or high / "archives"),
        user=f"{user}:{group}",
        network=env.get("DATABASE_ACCESS_NETWORK", "jobrunner-db"),
        proxy=env.get("DOCKER_PROXY", "docker-proxy.opensafely.org/opensafely-core"),
        registry=env.get("DOCKER_REGISTRY", "ghcr.io/opensafely-core"),
        dummy=env.get("USING_DUMMY_DATA_BACKEND", "").lower() in ("true", "1", "yes"),
        database=env.get("DEFAULT_DATABASE_URL", ""),
        interval_s=float(env.get("JOB_LOOP_INTERVAL", "1")),
        measures_s=float(env.get("STATS_POLL_INTERVAL", "10")),
        pull_timeout_s=float(env.get("IMAGE_PULL_TIMEOUT", "1200")),
    )


Definition = Mapping[str, Any]
