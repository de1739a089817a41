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
BACKUPS = "/var/lib/opensafely/backups"  # root's; a folder for each service
CHOICES = "/etc/opensafely/images.lock"  # images that somebody chose on this host
ALL_OTHERS = frozenset({"*"})  # every secret that a service does not name as its own
DOCKER_GROUP = "docker"  # its number differs from host to host
# What only this host knows, a file for each: the image in use, and docker's gid.
SETTINGS = "/etc/opensafely/services"
# What is kept of one that follows a tag, from one look to the next.
FOLLOWED = "/var/lib/opensafely/{}.followed"
# Of Airlock's: who is logged in, and all requests; what its page is known by; and what a look
# found stuck, and the one before it too, and how many requests there are in each state.
AIRLOCKS = "/var/lib/opensafely/airlock/db.sqlite3"
PAGE = "/etc/opensafely/airlock"
STUCK = "/var/lib/opensafely/airlock.stuck"


def unit_of(name: str) -> str:
    """The unit that runs the service NAME."""
    return f"opensafely-{name}.service"


class Service(Frozen):
    """A container that systemd keeps running, at one digest of one image.

    `image` is its path at the backend's registry. `mounts` are in docker-run(1)'s own form,
    SOURCE:TARGET[:ro]. `secrets` are names that must have a value in 02_secrets.env before it
    starts; of that file it is told all but these `others`. With `docker` it may start
    containers of its own, which is being root. It has proved itself when it ran for `steady_s`
    seconds without a restart. Where it has a `disk`, it runs only while something is mounted
    there.

    With a `route` it has a network to itself, and reaches from it these NAME:PORT; else it is on
    docker's own and reaches the backend's endpoints. `publish` is docker-run's too,
    ADDRESS:PORT:PORT; accounts do not reach that port here, and other machines only where
    they are in one of the networks `open_to`. Where it has a `page`, NAME/PATH, that answers 200
    here, or it has not proved itself. Of what it `keeps`, a database of SQLite's and then
    folders, there are copies: of each night, and of before it runs at another image.
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
    route: tuple[str, ...] | None = None
    publish: str = ""
    open_to: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    page: str = ""
    others: frozenset[str] = ALL_OTHERS

    @property
    def network(self) -> str:
        """As docker calls it, and where it is the service's own, the kernel too."""
        return "bridge" if self.route is None else f"os-{self.name}"

    @property
    def unit(self) -> str:
        return unit_of(self.name)
