"""Warm layers: a bare host after one manage, kept until the checkout changes."""

from __future__ import annotations

import fcntl
import hashlib
from pathlib import Path
from typing import Callable

from sandbox import cached, managed
from sandbox.command import run
from sandbox.host import Host
from sandbox.overlay import Layer
from sandbox.progress import Step
from sandbox.tree import Tree


def warm(
    cache: Path, backend: str, tree: Tree, recipe: str, make: Callable[[], Host]
) -> Layer:
    """The layer of a backend on a tree; made from a bare host if there is none yet.

    `recipe` is another one whenever that host would be.
    """
    parts = f"{tree.path.name} {recipe}"
    digest = hashlib.sha256(parts.encode()).hexdigest()[:12]
    folder = cache / "layers"
    folder.mkdir(exist_ok=True)
    kind = f"{backend}-{tree.release}"
    layer = Layer(folder / f"{kind}-{digest}")
    with (folder / f".{kind}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not layer.path.exists():
            with Step(f"managing a {tree.release} host as {backend}, to be kept"):
                fill(layer, backend, make)
        cached.used(layer.path, kind)
    return layer


def fill(layer: Layer, backend: str, make: Callable[[], Host]) -> None:
    """The layer is whole or not there at all."""
    new = Layer(layer.path.with_suffix(".new"))
    run("rm", "-rf", "--one-file-system", new.path)
    new.path.mkdir(mode=0o755)
    host = make()
    try:
        managed.manage(host, backend)
        keys = next(iter(host.people.values())).key.parent
        run("cp", "-a", keys, new.path / "keys")
        host.snapshot(new)
    finally:
        host.destroy()
    new.path.rename(layer.path)
