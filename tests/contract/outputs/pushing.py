"""A workspace tree and a share, both in memory, and pushes from one to the other."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from backend_server.checkout.backend import Share
from backend_server.host.writer import Host
from backend_server.outputs import credentials, push
from backend_server.outputs.within import INCOMING, Place


WORKSPACES = Path("/srv/medium_privacy/workspaces")
MOUNT = Path("/mnt/level4")
SHARE = Share("windows.example", "level4/outputs", "opensafely")
PLACE = Place(str(MOUNT), "outputs", kinds=("tmpfs",))


def prepare(**options):
    """A workspace tree, a password, and a share, all in memory."""
    for folder, mode in (("/srv", "mode=755"), ("/mnt", "mode=755")):
        mount(folder, mode)
    WORKSPACES.mkdir(parents=True)
    MOUNT.mkdir()
    mount(MOUNT, *(f"{name}={value}" for name, value in options.items()))
    Host().write(credentials.FILE, credentials.text("sesame"), 0o600)
    return MOUNT / "outputs"


def mount(place, *options):
    flags = ("-o", ",".join(options)) if options else ()
    subprocess.run(["mount", "-t", "tmpfs", *flags, "tmpfs", place], check=True)


def lay(workspace, files, levels=None):
    """A workspace with these files, all declared moderately sensitive but for `levels`."""
    folder = WORKSPACES / workspace
    outputs = {
        path: {
            "level": (levels or {}).get(path, "moderately_sensitive"),
            "action": "describe",
        }
        for path in files
    }
    for path, data in {**files, "metadata/describe.log": b"log"}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    (folder / "metadata/manifest.json").write_text(json.dumps({"outputs": outputs}))


def pushes(share=SHARE, place=PLACE):
    said = []
    record = push.push(Host(), share, said.append, place)
    return record, said


def half(share):
    """The folder for what is half there."""
    (found,) = share.glob(f"{INCOMING}-*")
    return found


def there(top):
    """Every file on the share with its content, by path."""
    return {
        str(path.relative_to(top)): path.read_bytes()
        for path in top.rglob("*")
        if not path.is_dir()
    }
