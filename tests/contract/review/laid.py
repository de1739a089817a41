"""Both trees in memory as the agent fills them, reviewers who edit, and what Airlock sees of it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from pathlib import Path

from backend_server.review import laying, verdicts
from backend_server.storage.component import REVIEW_STATE
from backend_server.text import acl


HIGH = Path("/srv/high_privacy/workspaces")
MEDIUM = Path("/srv/medium_privacy/workspaces")
REVIEW = Path("/srv/medium_privacy/review")
STATE = Path(REVIEW_STATE)
SERVICE, GUS, HAL = 10000, 20001, 20002
TABLE = b"sex,n\nF,3120\nM,3\n"
MARKED = b"sex,n\nF,3120\nM,[REDACTED]\n"
CSV = "output/table.csv"


def prepare(**options):
    """Empty trees, in memory; gus and hal have accounts."""
    flags = ",".join(f"{name}={value}" for name, value in options.items()) or "mode=755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", flags, "tmpfs", "/srv"], check=True)
    for folder in (HIGH, MEDIUM, REVIEW, STATE):
        folder.mkdir(parents=True)
        os.chown(folder, SERVICE, SERVICE)
    with open("/etc/passwd", "a", encoding="utf-8") as file:
        for name, uid in (("gus", GUS), ("hal", HAL)):
            file.write(f"{name}:x:{uid}:{uid}::/home/{name}:/bin/sh\n")


def write(path, data, uid=SERVICE):
    """As the agent, or an editor, that puts a new file in the old one's place."""
    for folder in reversed(path.parents):
        if not folder.exists():
            folder.mkdir()
            os.chown(folder, SERVICE, SERVICE)
    new = path.with_name(".new")
    new.write_bytes(data)
    os.chown(new, uid, uid)
    new.rename(path)


def entry(data, level="moderately_sensitive", job="job1", **more):
    return {
        **{"level": level, "job_id": job, "action": "describe", "user": "rita"},
        **{"repo": "https://github.com/opensafely/trial", "commit": "c0ffee"},
        **{"size": len(data), "timestamp": 1.5, "excluded": False, "message": None},
        **{"content_hash": hashlib.sha256(data).hexdigest()},
        **{"row_count": 2, "col_count": 2, "job_request": "rap1"},
        **more,
    }


def job(workspace, outputs, levels=None, name="job1", manifest=True):
    """A job has ended: its outputs are in both trees, the manifest last."""
    said = {}
    for path, data in outputs.items():
        level = (levels or {}).get(path, "moderately_sensitive")
        said[path] = entry(data, level, name)
        write(HIGH / workspace / path, data)
        if level == "moderately_sensitive":
            write(MEDIUM / workspace / path, data)
    for top in (HIGH, MEDIUM):
        write(top / workspace / "metadata/describe.log", b"log of " + name.encode())
    if manifest:
        declare(workspace, said)
    return said


def declare(workspace, said, uid=SERVICE):
    path = MEDIUM / workspace / "metadata/manifest.json"
    found = json.loads(path.read_text())["outputs"] if path.exists() else {}
    text = {"workspace": workspace, "repo": None, "outputs": {**found, **said}}
    write(path, json.dumps(text).encode(), uid)


def close(workspace):
    """As `host repair` has it within a minute: reviewers do not write metadata."""
    rights = {("user", None): 7, ("user", SERVICE): 7, ("group", None): 5}
    rights.update({("mask", None): 7, ("other", None): 0})
    data = acl.encode(frozenset(acl.Entry(k, n, p) for (k, n), p in rights.items()))
    folder = MEDIUM / workspace / "metadata"
    for path in (folder, *folder.iterdir()):
        os.setxattr(path, acl.ACCESS, data)
    os.setxattr(folder, acl.DEFAULT, data)


def edit(path, data, uid=GUS, settled=True):
    """A reviewer has saved it some while ago, by an editor that makes a new file."""
    write(path, data, uid)
    if settled:
        later()


def later():
    """What was changed until now has settled."""
    verdicts.SETTLED_S = 0


def lay():
    said = []
    laying.lay(said.append)
    return said


def shown(workspace="trial"):
    """As Airlock: the manifest is read, then each file that it names; a wrong hash fails."""
    folder = REVIEW / workspace
    outputs = json.loads((folder / "metadata/manifest.json").read_text())["outputs"]
    found = {path: (folder / path).read_bytes() for path in outputs}
    for path, data in found.items():
        assert hashlib.sha256(data).hexdigest() == outputs[path]["content_hash"], path
        assert outputs[path]["size"] == len(data)
    return found


def entries(workspace="trial"):
    text = (REVIEW / workspace / "metadata/manifest.json").read_text()
    return json.loads(text)["outputs"]


def notes(workspace="trial"):
    return (REVIEW / workspace / "metadata/redactions.txt").read_text()


def wait_a_tick():
    """The kernel's clock has gone on, so that two changes differ by their time."""
    began = os.stat("/srv").st_ino, time.time()
    while time.time() - began[1] < 0.02:
        os.sched_yield()
