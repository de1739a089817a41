"""Debian packages this machine needs before it can boot a host."""

from __future__ import annotations

import os
import shutil
import sys

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


def missing() -> list[str]:
    """Packages whose program is not there, by name."""
    return sorted(
        package for program, package in PROGRAMS.items() if not shutil.which(program)
    )


def ensure() -> None:
    """Every program above is on this machine; what is added is named first."""
    packages = missing()
    if not packages:
        return
    print(f"adding to this machine: {' '.join(packages)}", file=sys.stderr)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with Step("installing packages"):
        run("apt-get", "-qq", "update", env=quiet)
        run(
            *("apt-get", "install", "-qq", "-y", "--no-install-recommends"),
            *("-o", "DPkg::Lock::Timeout=120", *packages),
            env=quiet,
        )
