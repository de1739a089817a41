"""What all services in containers have: an environment, and one way to be run."""

from __future__ import annotations

import re
from typing import Iterator

from backend_server import resources
from backend_server.base.verbatim import filled, verbatim
from backend_server.checkout import Backend, Service, Site, service
from backend_server.services.container_service import ContainerService
from backend_server.services.followed import exception
from backend_server.storage.component import HIGH_TREE, MEDIUM_TREE
from backend_server.text import networks


# ---- the environment


def environment(site: Site) -> Iterator[resources.Resource]:
    """Four files, a later one wins: ours, the operator's secrets, the backend's, the host's."""
    yield resources.Directory(service.ENV_FOLDER, mode=0o700)
    yield verbatim(site, service.DEFAULTS, mode=0o600)
    yield resources.OperatorsFile(service.SECRETS, site.etc[service.SECRETS])
    yield resources.File(service.OF_BACKEND, _of_backend(site), mode=0o600)
    yield resources.OperatorsFile(service.LOCAL, site.etc[service.LOCAL])
    yield resources.Directory(service.SETTINGS)


def _of_backend(site: Site) -> str:
    backend = site.backend
    ours = filled(
        site,
        service.OF_BACKEND,
        name=backend.name,
        controller=backend.controller,
        registry=backend.registry,
        github=backend.github.partition("://")[2].partition("/")[0],
        dummy="true" if backend.dummy_data else "false",
        network=networks.DATABASE_NETWORK,
        high=HIGH_TREE,
        archives=backend.archives,
        medium=MEDIUM_TREE,
    )
    return ours + site.service_env


# ---- a service

# What the container may not do is said to docker: the unit's own limits bind only docker's
# client. No Requires: it would end with docker, and not come back with it.
_UNIT = f"{resources.UNITS}/opensafely-jobrunner.service"  # and of every other service

_GROUP = f"--group-add={service.DOCKER_GROUP}"


def container(site: Site, what: Service) -> Iterator[resources.Resource]:
    """Its unit, whole and the same on every host; and that it runs, at the digest that counts."""
    path = f"{resources.UNITS}/{what.unit}"
    if what.route is not None:
        from backend_server.docker.network import DockerNetwork  # a plan's alone

        yield DockerNetwork(what.network, bridge=what.network)
    yield resources.UnitFile(path, unit(site, what), notify=(what.unit,))
    yield ContainerService(
        what.name,
        image=image(site.backend, what),
        locked=site.images.get(what.name, ""),
        confined=confined(what),
        mounts=frozenset(what.mounts),
        secrets=what.secrets,
        others=what.others,
        docker=what.docker,
        disk=what.disk,
        steady_s=what.steady_s,
        keeps=what.keeps,
        page=what.page,
    )


def image(backend: Backend, what: Service) -> str:
    """Its image's name, without the digest."""
    return f"{backend.registry}/{what.image}"


def confined(what: Service) -> frozenset[str]:
    """docker-run's options that hold it in, in docker's own words."""
    words = (
        *("--init", "--read-only", f"--network={what.network}", "--cap-drop=ALL"),
        *("--security-opt=no-new-privileges", f"--dns={networks.NO_DNS}"),
        *(f"--user={what.uid}:{what.gid}", "--pids-limit=512"),
        *((f"--publish={what.publish}",) if what.publish else ()),
        *((_GROUP,) if what.docker else ()),
    )
    return frozenset(words)


def unit(site: Site, what: Service) -> str:
    """The text of its unit. `$` and `%` of ours mean nothing to systemd."""
    disk = f"{what.disk.strip('/').replace('/', '-')}.mount"
    limits = sorted(confined(what) - {_GROUP})
    options = [
        *("--rm", f"--name={what.name}", "--attach=stdout", *limits),
        *(("--group-add=${DOCKER_GID}",) if what.docker else ()),
        *("--ulimit=core=0", "--tmpfs=/tmp:size=256m,mode=1777", "--env=HOME=/tmp"),
        *("--log-driver=journald", f"--log-opt=tag={what.name}"),
        f"--env-file={service.MERGED}/{what.name}",
        *(_word(f"--env={name}={value}") for name, value in what.environment),
        *(_word(f"--volume={mount}") for mount in what.mounts),
    ]
    return filled(
        site,
        _UNIT,
        name=what.name,
        title=what.title,
        sources=" ".join(trees(what)),
        disk=f"\nBindsTo={disk}\nAfter={disk}" if what.disk else "",
        settings=f"{service.SETTINGS}/{what.name}",
        options="".join(f"    {option} \\\n" for option in options),
        command="".join(f" {_word(word)}" for word in what.command),
    )


def trees(what: Service) -> Iterator[str]:
    """What it works on; a file of ours is there when its unit is."""
    for mount in what.mounts:
        source, target, *_ = mount.split(":")
        if source == target and source.startswith("/srv/"):
            yield source


def _word(text: str) -> str:
    safe = text.replace("%", "%%").replace("$", "$$")
    return safe if re.fullmatch(r"[\w.,:/@%$=-]*", safe) else f"'{safe}'"


# ---- an image that follows a tag

_FOLLOW = "opensafely-follow@"


def following(site: Site) -> Iterator[resources.Resource]:
    """What looks for another image, of each service that may follow a tag."""
    for kind in ("service", "timer"):
        yield verbatim(site, f"{resources.UNITS}/{_FOLLOW}.{kind}")
    for what in site.services:
        follows = exception(site, what.name) is not None
        unit = f"{_FOLLOW}{what.name}.timer"
        yield resources.Unit(unit, enabled=follows, running=follows)
