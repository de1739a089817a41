"""Images for containers: a job-runner of our own, and Python for jobs, in some versions."""

from __future__ import annotations

import fcntl
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Sequence

from sandbox import cached
from sandbox.authority import Authority
from sandbox.command import output, run
from sandbox.mirror import Mirror
from sandbox.pieces import Pieces, archive, pieces
from sandbox.progress import Step
from sandbox.registry import Layer, Registry


JOB_RUNNER = "opensafely-core/job-runner"
PYTHON = "opensafely-core/python"
DATABASE_UTILS = "opensafely-core/tpp-database-utils"
AIRLOCK = "opensafely-core/airlock"
# The service that an image is for, as images.lock calls it.
SERVICES = {"jobrunner": JOB_RUNNER, "airlock": AIRLOCK}
HERE = Path(__file__).resolve().parent
AGENT, REVIEW = HERE / "agent", HERE / "airlock"
LABELS = {
    "org.opencontainers.image.source": "https://github.com/opensafely-core/job-runner",
    "org.opencontainers.image.revision": "0123456",
}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TRUSTED = "etc/ssl/certs/ca-certificates.crt"
START = "app/docker/scripts/agent.sh"
ENTRY = "app/docker/entrypoints/prod.sh"
MANAGE = "app/manage.py"
MANAGE_SH = '#!/bin/bash\necho "manage.py $*"\n'
ENTRY_SH = '#!/bin/bash\nexec python3 -m sandbox.airlock "${@:2}"\n'
AGENT_SH = "#!/bin/bash\nexec python3 -m sandbox.agent\n"
# As if it had asked the database: no maintenance, and data as new as they should be.
UTILS = "import sys\nprint('OK' if 'hes_cutoff_date_check' in sys.argv else 'none;0')\n"
# Stays up, and asks the controller nothing.
IDLE_SH = "#!/bin/bash\nexec sleep infinity\n"
# Works until somebody lays a file, and from then on ends at once.
LATE_SH = f"""\
{AGENT_SH.replace("exec ", "[ -e /workdir/late ] || ").rstrip()} &
until [ -e /workdir/late ]; do sleep 0.2; done
exit 3
"""
BROKEN_SH = "#!/bin/bash\necho 'this version cannot start' >&2\nexit 3\n"
# Makes something else of the database, and then does not come up.
MIGRATES_SH = """\
#!/bin/bash
python3 -c "import os, sqlite3
database = sqlite3.connect(os.environ['AIRLOCK_WORK_DIR'] + 'db.sqlite3', timeout=30)
database.execute('DELETE FROM local_db_requestmetadata')
database.commit()"
exit 3
"""
# One that ends when it is thought to be steady.
ENDS_SH = "#!/bin/bash\nsleep 12\nexit 3\n"
# Changes the database, and comes up; but each page is an error.
ERRS_SH = f"""\
{MIGRATES_SH.replace("exit 3", 'DJANGO_SECRET_KEY="" exec python3 -m sandbox.airlock "${@:2}"').rstrip()}
"""
# What sets each version apart, laid over what all have in common.
VERSIONS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    JOB_RUNNER: {
        "v1": {"app/version": "1\n"},
        "v2": {"app/version": "2\n"},
        "broken": {START: BROKEN_SH},
        "older": {"app/sandbox/agent/older": ""},
        "idle": {START: IDLE_SH},
        "late": {START: LATE_SH},
    },
    PYTHON: {"v1": {"version": "1\n"}, "v2": {"version": "2\n"}},
    DATABASE_UTILS: {"v1": {"app/utils.py": UTILS}},
    AIRLOCK: {
        "v1": {"app/version": "1\n"},
        "v2": {"app/version": "2\n"},
        "broken": {ENTRY: BROKEN_SH},
        "migrates": {ENTRY: MIGRATES_SH},
        "ends": {ENTRY: ENDS_SH},
        "errs": {ENTRY: ERRS_SH},
    },
}


@dataclass(frozen=True)
class Images:
    """What the registry has: `digests["opensafely-core/job-runner"]["v2"]`."""

    registry: Path
    data: Path
    digests: Mapping[str, Mapping[str, str]]

    def digest(self, name: str, tag: str = "v1") -> str:
        """Of an image by its path, or by its last part: `job-runner`."""
        return self.digests.get(name, self.digests.get(f"opensafely-core/{name}", {}))[
            tag
        ]

    def lock(self) -> str:
        """images.lock: every service at the first version of its image."""
        return "".join(
            f"{service} {self.digest(name)}\n" for service, name in SERVICES.items()
        )


def images(mirror: Mirror, authority: Authority, cache: Path) -> Images:
    """Those of the cache, made first where their recipe has changed."""
    parts = pieces(mirror, cache)
    folder = cache / "images"
    folder.mkdir(exist_ok=True)
    path = folder / f"images-{recipe(parts, authority)}"
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            with Step("making images for containers"):
                make(path, parts, authority)
        cached.used(path, "images", grace_s=cached.DAY_S)
    digests = json.loads((path / "digests.json").read_text())
    return Images(parts.registry, path / "data", digests)


def recipe(parts: Pieces, authority: Authority) -> str:
    """Another one whenever the images would be others."""
    total = hashlib.sha256(parts.folder.name.encode())
    for path in [authority.certificate, Path(__file__), *codes()]:
        total.update(path.name.encode() + path.read_bytes())
    return total.hexdigest()[:12]


def make(path: Path, parts: Pieces, authority: Authority) -> None:
    """The folder is whole or not there at all."""
    new = path.with_suffix(".new")
    run("rm", "-rf", "--one-file-system", new)
    new.mkdir()
    registry = Registry(parts.registry, new / "data", new / "socket")
    process = registry.start(frozen=False)
    try:
        digests = push_all(registry, parts, authority)
    finally:
        process.kill()
        process.wait()
    (new / "digests.json").write_text(json.dumps(digests))
    new.rename(path)


def push_all(
    registry: Registry, parts: Pieces, authority: Authority
) -> Mapping[str, Mapping[str, str]]:
    """Digest by name and tag, of all that was pushed; `latest` is the first version."""
    base = [parts.base(), archive([(TRUSTED, authority.certificate)])]
    docker = archive([("usr/bin/docker", parts.docker)])
    kinds = {
        JOB_RUNNER: ([*base, docker, agent_layer()], config([], "/app", LABELS)),
        PYTHON: (base, config(["python3"], "/workspace")),
        DATABASE_UTILS: (base, config(["python3", "/app/utils.py"], "/app")),
        AIRLOCK: ([*base, review_layer()], config([f"/{ENTRY}"], "/app")),
    }
    digests: dict[str, dict[str, str]] = {name: {} for name in kinds}
    for name, (layers, settings) in kinds.items():
        for version, texts in VERSIONS[name].items():
            tags = (version, "latest") if version == "v1" else (version,)
            # As from a registry that has something else under our name.
            made = config([], "/app") if version == "idle" else settings
            pushed = registry.push(name, tags, [*layers, archive([], texts)], made)
            digests[name].update(dict.fromkeys(tags, pushed))
    return digests


def agent_layer() -> Layer:
    """The job-runner's own code, at the place and under the name the real one starts by."""
    code = [(f"app/sandbox/agent/{path.name}", path) for path in AGENT.glob("*.py")]
    texts = {START: AGENT_SH, "app/sandbox/__init__.py": ""}
    return archive(sorted(code), texts)


def review_layer() -> Layer:
    """Airlock's, likewise: by its entry point, and then gunicorn's words."""
    code = [(f"app/sandbox/airlock/{path.name}", path) for path in REVIEW.glob("*.py")]
    texts = {ENTRY: ENTRY_SH, MANAGE: MANAGE_SH, "app/sandbox/__init__.py": ""}
    return archive(sorted(code), texts)


def codes() -> list[Path]:
    """All that is put into images of what stands beside this file."""
    return [path for kind in (AGENT, REVIEW) for path in sorted(kind.glob("*.py"))]


def config(
    entrypoint: Sequence[str], folder: str, labels: Mapping[str, str] | None = None
) -> Mapping[str, Any]:
    """How an image runs when nobody says otherwise."""
    return {
        "created": "2026-01-01T00:00:00Z",
        "architecture": output("dpkg", "--print-architecture"),
        "config": {
            "Entrypoint": list(entrypoint),
            "WorkingDir": folder,
            "Labels": dict(labels or {}),
            "Env": [
                f"PATH={PATH}",
                f"SSL_CERT_FILE=/{TRUSTED}",
                "LANG=C.UTF-8",
                "PYTHONUNBUFFERED=1",
                "PYTHONDONTWRITEBYTECODE=1",
            ],
        },
    }
