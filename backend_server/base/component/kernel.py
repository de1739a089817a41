"""Kernel parameters, and that no process leaves its memory on disk."""

from __future__ import annotations

from typing import Iterator

from backend_server.base.last_word import Limits, settled
from backend_server.base.setting import Sysctl
from backend_server.base.verbatim import verbatim
from backend_server.checkout.gather import Site
from backend_server.engine.resource import Resource
from backend_server.text.parsers import parse_assignments


_SYSCTL = "/etc/sysctl.d/zz-opensafely.conf"  # the last file of sysctl.d(5) wins


def kernel(site: Site) -> Iterator[Resource]:
    """Links cannot be abused, nothing is routed by strangers, and a crash leaks nothing."""
    yield from settled(site, _SYSCTL, "sysctl.d")
    for name, value in parse_assignments(site.etc[_SYSCTL]).items():
        yield Sysctl(name.strip(), value.strip())
    limits = verbatim(site, "/etc/security/limits.d/zz-opensafely.conf")
    yield limits
    yield Limits("limits", (limits.label,))
    core = "/etc/systemd/coredump.conf.d/opensafely.conf"
    yield from settled(site, core, "systemd/coredump.conf")
