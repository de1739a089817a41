#!/usr/bin/python3
"""How fast outputs get to a share, next to cp and rsync of the same tree in the same run.

All three write to the same Samba, from an emulated guest: compare them with each other only.
The push also decides, hashes, and reads everything back; `rsync and reading back` does that by hand.

sudo benchmarks/push.py [FILES [BYTES]]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sandbox.guest import Guest  # noqa: E402
from sandbox.outside import SHARE  # noqa: E402
from sandbox.sandbox import Sandbox  # noqa: E402
from sandbox.share import PASSWORD, Share  # noqa: E402


TREE, MOUNT = "/srv/medium_privacy/workspaces", "/mnt/level4"
LAY = """
import json, os, sys
top, count, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
outputs = {}
for number in range(count):
    path = f"output/{number // 100}/table-{number}.csv"
    os.makedirs(os.path.dirname(f"{top}/bench/{path}"), exist_ok=True)
    with open(f"{top}/bench/{path}", "wb") as file:
        file.write(os.urandom(size))
    outputs[path] = {"level": "moderately_sensitive", "action": "bench"}
os.makedirs(f"{top}/bench/metadata")
with open(f"{top}/bench/metadata/manifest.json", "w") as file:
    json.dump({"outputs": outputs}, file)
"""


def took(guest: Guest, title: str, command: str) -> None:
    """From a mount that knows nothing yet, until the server has all of it."""
    guest.run(f"systemctl stop mnt-level4.mount; ls {MOUNT}; sync")
    began = time.monotonic()
    guest.run(f"{command} && sync", timeout_s=3600)
    seconds = time.monotonic() - began
    print(f"{title:<36} {seconds:7.1f} s", flush=True)


def main(count: int = 1000, size: int = 20_000) -> None:
    with Sandbox() as sandbox, Share(sandbox.lab, SHARE, "Level4Files"):
        guest = sandbox.guest("tpp")
        guest.run("systemctl stop opensafely-outputs.timer")
        guest.run("backend service secrets set SHARE_PASSWORD; true", stdin=PASSWORD)
        guest.run(f"python3 - {TREE} {count} {size}", stdin=LAY)
        print(f"{count} files of {size} bytes, SMB 3.1.1 sealed")
        took(guest, "cp --recursive", f"cp -r {TREE}/bench {MOUNT}/cp")
        rsync = f"rsync -rt --whole-file {TREE}/bench/ {MOUNT}/rsync/"
        took(guest, "rsync", rsync)
        drop = "echo 1 >/proc/sys/vm/drop_caches"
        back = f"{rsync} && {drop} && diff -r {TREE}/bench {MOUNT}/rsync"
        guest.run(f"rm -r {MOUNT}/rsync")
        took(guest, "rsync and reading back", back)
        took(guest, "outputs push", "backend outputs push")
        took(guest, "outputs push, nothing new", "backend outputs push")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
