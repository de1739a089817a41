"""What a host is made of: layers it shares, and one of its own on top."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

from sandbox.command import run
from sandbox.people import People, load


@dataclass(frozen=True)
class Layer:
    """What one host wrote, to lie under others."""

    path: Path

    @property
    def upper(self) -> Path:
        return self.path / "upper"

    @property
    def docker(self) -> Path:
        return self.path / "docker"

    @property
    def people(self) -> People:
        """Those whose keys it lets in."""
        return load(self.path / "keys")


class Overlay:
    """A host's file system in a folder of the cache; what it writes lies in `upper`."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.root = folder / "root"
        self.upper = folder / "upper"
        # Docker needs a real file system below it: on an overlay it falls back to copies.
        self.docker = folder / "docker"

    def mount(self, lower: Sequence[Path]) -> None:
        """The layers, topmost first, seen as one tree at `root`."""
        work = self.folder / "work"
        for folder in (self.root, self.upper, self.docker, work):
            folder.mkdir(parents=True)
        layers = ":".join(map(str, lower))
        # volatile: fsync does nothing, which halves the time of an installation.
        options = f"lowerdir={layers},upperdir={self.upper},workdir={work},volatile"
        run("mount", "-t", "overlay", self.name, "-o", options, self.root)

    def unmount(self) -> None:
        """`upper` can be used as a layer, and never be written to again."""
        if self.root.is_mount():
            run("umount", self.root)

    def keep_packages(self, archives: Path) -> None:
        """What apt fetched here serves the next host too."""
        for deb in self.upper.glob("var/cache/apt/archives/*.deb"):
            # A deb that was deleted in the host is here as a device, not a file.
            if deb.is_file():
                deb.replace(archives / deb.name)

    def save(self, layer: Layer) -> None:
        """What was the host's own is the layer's."""
        self.upper.rename(layer.upper)
        self.docker.rename(layer.docker)

    def restore_docker(self, folder: Path) -> None:
        """Docker's data as a saved host had it; a copy, for it is written to."""
        self.docker.rmdir()
        run("cp", "-a", folder, self.docker)

    def remove(self) -> None:
        self.unmount()
        run("rm", "-rf", "--one-file-system", self.folder)
