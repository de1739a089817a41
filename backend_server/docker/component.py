"""Docker: runs containers, and is never restarted under a job by accident."""

from __future__ import annotations

from typing import Iterator

from backend_server.base.setting import Sysctl
from backend_server.base.verbatim import verbatim
from backend_server.checkout.gather import Site
from backend_server.docker.daemon import DAEMON_JSON, DaemonJson, DockerSocket
from backend_server.docker.network import DockerNetwork, DockerRules
from backend_server.resources import UNITS, Held, Packages, Resource, Unit
from backend_server.text import networks


# A new version of any of these restarts what jobs run in. unattended-upgrades leaves them
# alone too: etc/apt/apt.conf.d/zz-opensafely.
HELD = frozenset(
    {
        *("docker.io", "docker-cli", "docker-ce", "docker-ce-cli"),
        *("containerd", "containerd.io", "runc"),
    }
)


def docker(site: Site, services: frozenset[str]) -> Iterator[Resource]:
    """What it is to be like is there before its package starts it for the first time."""
    # No key that version 20.10 does not know. With live-restore containers go on while dockerd
    # is down. Nobody answers at the address in dns: containers know the names in hosts(5) alone.
    yield DaemonJson(DAEMON_JSON, site.etc[DAEMON_JSON])
    yield verbatim(site, "/etc/needrestart/conf.d/opensafely.conf")
    packages = Packages("docker", frozenset(site.release.docker))
    yield packages
    yield Held("docker", HELD, packages.label)
    yield Unit("docker.service", on_change="pend")
    # Masked, it keeps dockerd from its next start.
    yield Unit("docker.socket", running=None)
    # dockerd sets it as it starts, and others may take it back: no container reaches anything.
    yield Sysctl("net.ipv4.ip_forward", "1")
    yield verbatim(site, f"{UNITS}/docker.socket.d/zz-opensafely.conf")
    yield DockerSocket("/run/docker.sock")
    network = networks.DATABASE_NETWORK
    yield DockerNetwork(network, bridge=networks.DATABASE_BRIDGE)
    yield DockerRules("docker.service", services)
