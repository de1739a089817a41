"""Docker: runs containers, and is never restarted under a job by accident."""

from __future__ import annotations

import json
from typing import Iterator

from backend_server.base.sysctl import Sysctl
from backend_server.base.verbatim import verbatim
from backend_server.checkout.gather import Site
from backend_server.docker.daemon import DAEMON_JSON, DaemonJson
from backend_server.docker.network import DockerNetwork
from backend_server.docker.rules import DockerRules
from backend_server.docker.socket import DockerSocket
from backend_server.engine.resource import Resource
from backend_server.resources import UNITS, Held, Packages, Unit
from backend_server.text import networks


# A new version of any of these restarts what jobs run in. unattended-upgrades leaves them
# alone too: etc/apt/apt.conf.d/zz-opensafely.
HELD = frozenset(
    {
        *("docker.io", "docker-cli", "docker-ce", "docker-ce-cli"),
        *("containerd", "containerd.io", "runc"),
    }
)

# No key that version 20.10 does not know.
_DAEMON = {
    # Containers go on while dockerd is down or restarts.
    "live-restore": True,
    "log-driver": "local",
    "log-opts": {"max-size": "20m", "max-file": "5"},
    "default-ulimits": {"core": {"Name": "core", "Soft": 0, "Hard": 0}},
    # Nobody answers there: containers know the names in hosts(5), and no others.
    "dns": [networks.NO_DNS],
    "icc": False,
}


def docker(site: Site, services: frozenset[str]) -> Iterator[Resource]:
    """What it is to be like is there before its package starts it for the first time."""
    text = json.dumps(_DAEMON, indent=4, sort_keys=True) + "\n"
    yield DaemonJson(DAEMON_JSON, text)
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
