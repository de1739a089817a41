"""Disks for guests: a host's files with a kernel, kept until the checkout changes."""

from __future__ import annotations

import fcntl
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from sandbox import cached, identity
from sandbox.command import run
from sandbox.host import Host
from sandbox.people import People, load
from sandbox.progress import Step
from sandbox.tree import write


# What a server has that is no container: a kernel, devices, disks. And what tests of
# network file systems and of Hyper-V need, at this machine's speed: emulated, it takes minutes.
PACKAGES = (
    "linux-image-cloud-amd64 initramfs-tools udev e2fsprogs qemu-guest-agent "
    "cifs-utils keyutils rsync hyperv-daemons"
)
INSTALL = f"""
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 install {PACKAGES} %s
"""
# Two minutes, emulated, whenever a package asks for it. Nothing in a test changes what
# the first disk needs to be found.
NO_INITRAMFS = "etc/initramfs-tools/update-initramfs.conf"
FSTAB = "/dev/vda / ext4 defaults 0 1\n"
# The vendor's own word to cloud-init: else it makes a locale, a minute's work, emulated.
VENDORS = ("etc/cloud/cloud.cfg.d/10_vendor.cfg", "locale: false\n")
SIZE = "8G"
SNAPSHOT = "ready"
# A disk below a running guest is no mount. No run of tests takes longer.
IN_USE_S = 3 * 3600


@dataclass(frozen=True)
class Image:
    """A disk to lie under guests, and a kernel to boot it with.

    `ready` is a disk on top of it, with a snapshot of a guest that has booted.
    """

    path: Path

    @property
    def disk(self) -> Path:
        return self.path / "disk.img"

    @property
    def boot(self) -> tuple[Path, Path]:
        return self.path / "vmlinuz", self.path / "initrd"

    @property
    def ready(self) -> Path:
        return self.path / "ready.qcow2"

    @property
    def people(self) -> People:
        """Those whose keys it lets in."""
        return load(self.path / "keys")


def image(
    cache: Path,
    kind: str,
    recipe: str,
    make: Callable[[], Host],
    boot: Callable[[Image], None] | None,
    extra: str = "",
) -> Image:
    """The image of this kind, made from a booted host first where its recipe changed.

    `extra` are more packages; `boot` adds the snapshot, where one is wanted.
    """
    parts = (recipe, extra, INSTALL, Path(__file__).read_text())
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
    folder = cache / "guests"
    folder.mkdir(exist_ok=True)
    found = Image(folder / f"{kind}-{digest}")
    with (folder / f".{kind}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not found.path.exists():
            with Step(f"making a disk of a {kind} host, to be kept"):
                fill(found, make(), extra, boot)
        cached.used(found.path, kind, grace_s=IN_USE_S)
    return found


def fill(
    wanted: Image, host: Host, extra: str, boot: Callable[[Image], None] | None
) -> None:
    """The image is whole or not there at all; the host is used up."""
    new = Image(wanted.path.with_suffix(".new"))
    run("rm", "-rf", "--one-file-system", new.path)
    new.path.mkdir(mode=0o700)
    try:
        host.run(INSTALL % extra)
        host.poweroff()
        furnish(host.root)
        for name, path in zip(("vmlinuz", "initrd.img"), new.boot):
            (kernel,) = host.root.glob(f"boot/{name}-*")
            run("cp", kernel, path)
        copy_keys(host.people, new)
        lay_disk(host, new.disk, bool(extra))
    finally:
        host.destroy()
    if boot:
        boot(new)
        # A disk knows the one below it by its place, which is about to be another.
        run("qemu-img", "rebase", "-u", "-F", "raw", "-b", wanted.disk, new.ready)
    new.path.rename(wanted.path)


def furnish(root: Path) -> None:
    """What differs where a disk is booted and not a folder."""
    identity.take_away(root)
    write(root, NO_INITRAMFS, "update_initramfs=no\n")
    write(root, "etc/fstab", FSTAB)
    write(root, "etc/hostname", "guest\n")


def copy_keys(people: People, new: Image) -> None:
    (new.path / "keys").mkdir(mode=0o700)
    for person in people.values():
        for path in (person.key, person.key.with_suffix(".pub")):
            run("cp", "-a", path, new.path / "keys")


def lay_disk(host: Host, disk: Path, packages: bool) -> None:
    """A file system with the host's files; fetched packages only where asked for."""
    within: list[tuple[Path, Path]] = [
        (host.overlay.docker, host.root / "var/lib/docker")
    ]
    if not packages:
        nothing = host.overlay.folder / "nothing"
        nothing.mkdir()
        within.append((nothing, host.root / "var/cache/apt/archives"))
    for source, target in within:
        target.mkdir(parents=True, exist_ok=True)
        run("mount", "--bind", source, target)
    try:
        run("truncate", "-s", SIZE, disk)
        options = "lazy_itable_init=1,lazy_journal_init=1"
        run("mke2fs", "-q", "-t", "ext4", "-E", options, "-d", host.root, disk)
    finally:
        for _, target in within:
            run("umount", target)


def overlay(below: Path, disk: Path) -> None:
    """A disk on which only what changes is written."""
    run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", below, disk)
