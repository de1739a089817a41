"""What the sandbox's images are made of: Debian packages, unpacked and installed nowhere."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, Mapping

from sandbox import cached
from sandbox.command import run
from sandbox.mirror import Mirror, apt_options
from sandbox.progress import Step
from sandbox.registry import Layer, digest


# What a program in a container may count on: Python, a shell, and the usual programs.
BASE = "python3,bash,dash,coreutils"
PROGRAMS = "docker-registry,docker.io"
NOBODY_READS = ("locale", "doc", "man", "info", "lintian", "common-licenses")


@dataclass(frozen=True)
class Pieces:
    """A base system, docker's client, and the registry to serve images with."""

    folder: Path

    @property
    def registry(self) -> Path:
        return self.folder / "docker-registry"

    @property
    def docker(self) -> Path:
        return self.folder / "docker"

    def base(self) -> Layer:
        """The layer that all images share."""
        blob = (self.folder / "base.tar.gz").read_bytes()
        return Layer(blob, (self.folder / "base.diff").read_text())


def pieces(mirror: Mirror, cache: Path) -> Pieces:
    """Those of the cache, made first where their recipe has changed."""
    recipe = [*mirror.lines(mirror.codename), Path(__file__).read_text()]
    key = hashlib.sha256("\n".join(recipe).encode()).hexdigest()[:12]
    folder = cache / "pieces"
    folder.mkdir(exist_ok=True)
    found = Pieces(folder / f"{mirror.codename}-{key}")
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not found.folder.exists():
            with Step("unpacking what images are made of"):
                make(found, mirror)
        # A lab that was up the whole day still has its registry's program here.
        cached.used(found.folder, mirror.codename, grace_s=cached.DAY_S)
    return found


def make(wanted: Pieces, mirror: Mirror) -> None:
    """The folder is whole or not there at all."""
    new = Pieces(wanted.folder.with_suffix(".new"))
    run("rm", "-rf", "--one-file-system", new.folder)
    new.folder.mkdir()
    unpacked, base = new.folder / "unpacked", new.folder / "base"
    unpack(mirror, PROGRAMS, unpacked)
    for program in (new.docker, new.registry):
        (unpacked / "usr/bin" / program.name).rename(program)
    unpack(mirror, BASE, base)
    trim(base)
    layer = archive(files_below(base))
    (new.folder / "base.tar.gz").write_bytes(layer.blob)
    (new.folder / "base.diff").write_text(layer.diff_id)
    run("rm", "-rf", "--one-file-system", unpacked, base)
    new.folder.rename(wanted.folder)


def unpack(mirror: Mirror, packages: str, target: Path) -> None:
    """These packages and all that they need, at a place where nothing of them is run."""
    options = [f"--aptopt={option}" for option in apt_options()]
    how = ("mmdebstrap", "--quiet", "--variant=extract", f"--include={packages}")
    run(*how, *options, mirror.codename, target, *mirror.lines(mirror.codename))


def trim(root: Path) -> None:
    """No manuals and translations, and the names that programs go by."""
    for name in NOBODY_READS:
        run("rm", "-rf", root / "usr/share" / name)
    run("rm", "-rf", root / "var/cache", root / "var/lib/apt", root / "usr/lib/locale")
    for link in ("python", "python3"):
        (root / "usr/bin" / link).unlink(missing_ok=True)
        (root / "usr/bin" / link).symlink_to(newest_python(root))
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    (root / "etc/group").write_text("root:x:0:\n")


def newest_python(root: Path) -> str:
    return sorted(path.name for path in root.glob("usr/bin/python3.*[0-9]"))[-1]


def files_below(root: Path) -> Iterable[tuple[str, Path]]:
    """Name in an archive and place here, of all that is below a folder."""
    for path in sorted(root.rglob("*")):
        yield str(path.relative_to(root)), path


def archive(
    files: Iterable[tuple[str, Path]], texts: Mapping[str, str] | None = None
) -> Layer:
    """A layer of these files, root's own; the same ones always give the same digest.

    `texts` are files by name that are not on this machine; all of them can be run.
    """
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, path in files:
            item = plain(tar.gettarinfo(path, name))
            if item.isreg():
                with path.open("rb") as content:
                    tar.addfile(item, content)
            else:
                tar.addfile(item)
        for name, text in sorted((texts or {}).items()):
            item = plain(tarfile.TarInfo(name))
            item.size, item.mode = len(text.encode()), 0o755
            tar.addfile(item, io.BytesIO(text.encode()))
    whole = raw.getvalue()
    return Layer(gzip.compress(whole, 1, mtime=0), digest(whole))


def plain(item: tarfile.TarInfo) -> tarfile.TarInfo:
    item.uid = item.gid = 0
    item.uname = item.gname = "root"
    item.mtime = 0
    return item
