"""The bare tree of a release: what a server has before anybody has touched it."""

from __future__ import annotations

import fcntl
import hashlib
from dataclasses import dataclass
from pathlib import Path

from sandbox import cached
from sandbox.authority import Authority
from sandbox.command import run
from sandbox.mirror import Mirror, apt_options
from sandbox.progress import Step


# No python3, no curl, no nftables: the way from here to a backend is the main path.
PACKAGES = (
    "systemd,systemd-sysv,dbus,libpam-systemd,openssh-server,sudo,git,"
    "ca-certificates,iproute2,procps"
)
TRUSTED = "usr/local/share/ca-certificates/sandbox.crt"


@dataclass(frozen=True)
class Tree:
    """A tree to lie under hosts, and the packages any host of the release fetched."""

    release: str
    path: Path
    debs: Path

    @property
    def lower(self) -> list[Path]:
        """Layers for a host, the topmost first."""
        return [self.debs, self.path]

    @property
    def archives(self) -> Path:
        return archives(self.debs)


def archives(debs: Path) -> Path:
    """Where apt looks for packages it has fetched before."""
    return debs / "var/cache/apt/archives"


def bare_tree(release: str, mirror: Mirror, authority: Authority, cache: Path) -> Tree:
    """The tree from the cache, made first where its recipe has changed."""
    recipe = [PACKAGES, *mirror.lines(release), *apt_options()]
    text = "\n".join(
        [*recipe, authority.certificate.read_text(), Path(__file__).read_text()]
    )
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    tree = Tree(
        release, cache / "trees" / f"{release}-{digest}", cache / "debs" / release
    )
    tree.archives.mkdir(parents=True, exist_ok=True)
    tree.path.parent.mkdir(exist_ok=True)
    with (cache / "trees" / f".{release}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tree.path.exists():
            with Step(f"making the bare {release} tree"):
                make(tree, mirror, authority)
        cached.used(tree.path, release)
    return tree


def make(tree: Tree, mirror: Mirror, authority: Authority) -> None:
    """Bootstraps beside the final name, so that a killed run leaves no half tree."""
    new = tree.path.with_suffix(".new")
    run("rm", "-rf", "--one-file-system", new)
    cached = "/var/cache/apt/archives"
    run(
        *("mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}"),
        *(f"--aptopt={option}" for option in apt_options()),
        # What the hooks bring in must neither stop it nor be emptied by it.
        *("--skip=download/empty", "--skip=essential/unlink"),
        *('--setup-hook=mkdir -p "$1"' + cached,),
        *(f"--setup-hook=sync-in {tree.archives} {cached}",),
        *(f"--customize-hook=sync-out {cached} {tree.archives}",),
        *(tree.release, new, *mirror.lines(tree.release)),
    )
    furnish(new, authority)
    new.rename(tree.path)


def furnish(root: Path, authority: Authority) -> None:
    """What a provider's image has set: networkd, sshd, an authority to trust."""
    write(root, TRUSTED, authority.certificate.read_text())
    write(root, "etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost\n")
    # Empty, not absent: an absent one means first boot, which undoes what is enabled.
    write(root, "etc/machine-id", "")
    for name in ("etc/resolv.conf", "etc/hostname", "var/lib/dbus/machine-id"):
        (root / name).unlink(missing_ok=True)
    run("chroot", root, "update-ca-certificates")
    run("chroot", root, "systemctl", "--quiet", "enable", "systemd-networkd", "ssh")
    unit = "systemd-networkd-wait-online.service"
    run("chroot", root, "systemctl", "--quiet", "disable", unit)


def write(root: Path, name: str, text: str, mode: int = 0o644) -> None:
    """A file below a root, with the folders on the way."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
