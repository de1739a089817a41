"""Debian packages this machine needs before it can boot a host, or a guest."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from pathlib import Path
from typing import Mapping, Sequence

from sandbox.command import run
from sandbox.progress import Step


# Looked for by the program, so that one installed in another way counts too.
PROGRAMS = {
    "git": "git",
    "ip": "iproute2",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "ssh": "openssh-client",
    "sysctl": "procps",
    "systemd-nspawn": "systemd-container",
}
FOR_GUESTS = {
    "mke2fs": "e2fsprogs",
    "qemu-img": "qemu-utils",
    "qemu-system-x86_64": "qemu-system-x86",
}


LOCK = Path("/run/lock/backend-sandbox-packages")


def missing(programs: Mapping[str, str] = PROGRAMS) -> list[str]:
    """Packages whose program is not there, by name."""
    return sorted(
        package for program, package in programs.items() if not shutil.which(program)
    )


def ensure(programs: Mapping[str, str] = PROGRAMS) -> None:
    """Every one of these programs is on this machine; what is added is named first.

    Another run may be adding them at the moment: it is waited for.
    """
    if not missing(programs):
        return
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        packages = missing(programs)
        if packages:
            _add(packages)


def _add(packages: Sequence[str]) -> None:
    print(f"adding to this machine: {' '.join(packages)}", file=sys.stderr)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with Step("installing packages"):
        run("apt-get", "-qq", "update", env=quiet)
        run(
            *("apt-get", "install", "-qq", "-y", "--no-install-recommends"),
            *("-o", "DPkg::Lock::Timeout=120", *packages),
            env=quiet,
        )
