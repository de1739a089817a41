"""Outputs of a job, copied to where people look for them, with an account of each."""

from __future__ import annotations

import csv
import hashlib
import json
import secrets
import shutil
from pathlib import Path
from typing import Any, Dict, Mapping

from sandbox.agent.config import Config, Definition


MODERATE = "moderately_sensitive"
Account = Dict[str, Any]


def matching(
    definition: Definition, volume: Path
) -> tuple[Mapping[str, str], list[str]]:
    """Level by path of what a job made of what it promised, and patterns without a file."""
    found, unmatched = {}, []
    for pattern, level in definition["output_spec"].items():
        paths = [path for path in sorted(volume.glob(pattern)) if path.is_file()]
        found.update({str(path.relative_to(volume)): level for path in paths})
        unmatched += [] if paths else [pattern]
    return found, unmatched


def keep(
    config: Config, definition: Definition, volume: Path, found: Mapping[str, str]
) -> Mapping[str, str]:
    """All outputs lie in high privacy, and the moderate ones that may in medium privacy.

    Says why of those that may not.
    """
    high, medium = (
        base / "workspaces" / definition["workspace"]
        for base in (config.high, config.medium)
    )
    accounts, excluded = {}, {}
    for name, level in found.items():
        copy(volume / name, high / name)
        account = describe(definition, volume / name, level)
        if level == MODERATE:
            release(medium / name, volume / name, account["message"])
        if account["excluded"]:
            excluded[name] = account["message"]
        accounts[name] = account
    add_to_manifest(medium / "metadata", definition["workspace"], accounts)
    return excluded


def release(target: Path, source: Path, message: str | None) -> None:
    """The output, or in its place a text that says why it is not there."""
    why = target.with_name(f"{target.name}.txt")
    if message:
        target.unlink(missing_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        write(why, message)
    else:
        why.unlink(missing_ok=True)
        copy(source, target)


def describe(definition: Definition, path: Path, level: str) -> Account:
    """What the manifest says of an output."""
    rows, columns = table(path)
    message = None
    if level == MODERATE:
        message = problem(definition, path, rows, columns)
    return {
        "level": level,
        "job_id": definition["id"],
        "job_request": definition["rap_id"],
        "action": definition["action"],
        "user": definition.get("user"),
        "repo": definition["repo_url"],
        "commit": definition["commit"],
        "size": path.stat().st_size,
        "timestamp": path.stat().st_mtime,
        "content_hash": hashlib.sha256(path.read_bytes()).hexdigest(),
        "excluded": message is not None,
        "message": message,
        "row_count": rows,
        "col_count": None if columns is None else len(columns),
    }


def table(path: Path) -> tuple[int | None, list[str] | None]:
    """Rows below the header and names of columns, None for what is no table."""
    if path.suffix != ".csv":
        return None, None
    with path.open(newline="", errors="replace") as file:
        lines = csv.reader(file)
        header = next(lines, [])
        return sum(1 for _ in lines), header


def problem(
    definition: Definition, path: Path, rows: int | None, columns: list[str] | None
) -> str | None:
    """Why an output must not leave high privacy, None if it may."""
    types = definition.get("level4_file_types") or [".csv"]
    if path.suffix not in types:
        return f"File type of {path.suffix or 'no suffix'} is not valid level 4 file"
    if path.stat().st_size > definition["level4_max_filesize"]:
        return f"File size of {path.stat().st_size} bytes is over the limit"
    if "patient_id" in (columns or []):
        return "File has patient_id column"
    if (rows or 0) > definition["level4_max_csv_rows"]:
        return f"File row count ({rows}) is over the limit"
    return None


def add_to_manifest(
    folder: Path, workspace: str, accounts: Mapping[str, Account]
) -> None:
    """These outputs are in the manifest beside all earlier ones."""
    path = folder / "manifest.json"
    manifest: Account = {"workspace": workspace, "repo": None, "outputs": {}}
    if path.exists():
        manifest = json.loads(path.read_text())
    manifest["outputs"].update(accounts)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.tmp").write_text(json.dumps(manifest, indent=2))
    (folder / "manifest.tmp").rename(path)


def copy(source: Path, target: Path) -> None:
    """With the mode of the source; nobody sees half of it under its name."""
    target.parent.mkdir(parents=True, exist_ok=True)
    new = temporary(target)
    shutil.copy(source, new)
    new.rename(target)


def write(target: Path, text: str) -> None:
    new = temporary(target)
    new.write_text(text)
    new.rename(target)


def temporary(target: Path) -> Path:
    return target.with_name(f"{target.name}.{secrets.token_hex(8)}.tmp")
