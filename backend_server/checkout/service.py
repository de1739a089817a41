"""What runs in a container as a service, as a component declares it."""

from __future__ import annotations

from backend_server.text.frozen import Frozen


ENV_FOLDER = "/etc/opensafely/env"  # 0700: some of it is secret
DEFAULTS = f"{ENV_FOLDER}/01_defaults.env"
SECRETS = f"{ENV_FOLDER}/02_secrets.env"
OF_BACKEND = f"{ENV_FOLDER}/03_backend.env"
LOCAL = f"{ENV_FOLDER}/04_local.env"
ENV_FILES = (DEFAULTS, SECRETS, OF_BACKEND, LOCAL)  # a later one wins

MERGED = "/run/opensafely/env"  # what containers were started with, a file for each
CHOICES = "/etc/opensafely/images.lock"  # images that somebody chose on this host
DOCKER_GROUP = "docker"  # its number differs from host to host
# What only this host knows, a file for each: the image in use, and docker's gid.
SETTINGS = "/etc/opensafely/services"


def unit_of(name: str) -> str:
    """The unit that runs the service NAME."""
    return f"opensafely-{name}.service"


class Service(Frozen):
    """A container that systemd keeps running, at one digest of one image.

    `image` is its path at the backend's registry. `mounts` are in docker-run(1)'s own form,
    SOURCE:TARGET[:ro]. `secrets` are names that must have a value in 02_secrets.env before it
    starts. With `docker` it may start containers of its own, which is being root. It has proved
    itself when it ran for `steady_s` seconds without a restart. Where it has a `disk`, it
    runs only while something is mounted there.
    """

    name: str
    title: str
    image: str
    uid: int
    gid: int
    command: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    secrets: tuple[str, ...] = ()
    docker: bool = False
    disk: str = ""
    steady_s: int = 15

    @property
    def unit(self) -> str:
        return unit_of(self.name)
