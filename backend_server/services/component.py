"""What all services in containers have: an environment, and one way to be run."""

from __future__ import annotations

import re
from string import Template
from typing import Iterator

from backend_server.base.verbatim import filled, verbatim
from backend_server.checkout import service
from backend_server.checkout.backend import Backend, Follow
from backend_server.checkout.gather import Site
from backend_server.checkout.service import Service
from backend_server.engine.resource import Resource
from backend_server.resources import (
    UNITS,
    Directory,
    File,
    NoFile,
    OperatorsFile,
    Unit,
    UnitFile,
    timed,
)
from backend_server.services.container_service import ContainerService
from backend_server.storage.component import HIGH_TREE, MEDIUM_TREE
from backend_server.text import networks


# ---- the environment

_SECRETS = """\
# Secrets of the services on this host: NAME=value, a line each. Root's alone, and only ever
# changed here: by hand, or with `backend service secrets set NAME`.
# What each line may be: docs/playbook.md of the checkout, Secrets.
"""
_LOCAL = """\
# What services have in their environment on this host only, over all other files here.
# NAME=value, a line each. Only ever changed by hand; then run: backend
"""


def environment(site: Site) -> Iterator[Resource]:
    """Four files, a later one wins: ours, the operator's secrets, the backend's, the host's."""
    yield Directory(service.ENV_FOLDER, mode=0o700)
    yield verbatim(site, service.DEFAULTS, mode=0o600)
    yield OperatorsFile(service.SECRETS, _SECRETS)
    yield File(service.OF_BACKEND, _of_backend(site), mode=0o600)
    yield OperatorsFile(service.LOCAL, _LOCAL)
    yield Directory(service.SETTINGS)


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
        medium=MEDIUM_TREE,
    )
    return ours + site.service_env


# ---- a service

# What the container may not do is said to docker: the unit's own limits bind only docker's
# client. No Requires: it would end with docker, and not come back with it.
_UNIT = Template("""\
[Unit]
Description=OpenSAFELY $name: $title
After=docker.service opensafely-firewall.service remote-fs.target
RequiresMountsFor=$sources
StartLimitIntervalSec=0

[Service]
Type=exec
EnvironmentFile=$settings
# Merges the environment; without a secret that it needs, the service is not started at all.
ExecCondition=/usr/local/sbin/backend service environment $name
# What a docker that was killed left; as a rule there is nothing, which docker calls an error.
ExecStartPre=-/bin/sh -c 'docker rm --force $name 2>/dev/null'
ExecStart=/usr/bin/docker run \\
$options    $${IMAGE}$command
ExecStop=-/usr/bin/docker stop --time 10 $name
SuccessExitStatus=143
Restart=always
RestartSec=5
TimeoutStartSec=300
TimeoutStopSec=60
# docker writes what the container says to the journal itself.
StandardOutput=null
StandardError=journal
UMask=0077
LimitCORE=0
NoNewPrivileges=yes
CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_CHOWN CAP_FOWNER
RestrictAddressFamilies=AF_UNIX AF_NETLINK
ProtectSystem=strict
RuntimeDirectory=opensafely
RuntimeDirectoryPreserve=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectHome=read-only
ProtectKernelModules=yes
ProtectKernelTunables=yes
LockPersonality=yes

[Install]
WantedBy=multi-user.target
""")

_PIDS = 512
_TMP = "/tmp:size=256m,mode=1777"


def container(site: Site, what: Service) -> Iterator[Resource]:
    """Its unit, whole and the same on every host; and that it runs, at the digest that counts."""
    yield UnitFile(f"{UNITS}/{what.unit}", unit(site, what), notify=(what.unit,))
    yield ContainerService(
        what.name,
        image=image(site.backend, what),
        locked=site.images.get(what.name, ""),
        confined=confined(what),
        mounts=frozenset(what.mounts),
        secrets=what.secrets,
        docker=what.docker,
        steady_s=what.steady_s,
    )
    follows = [each for each in site.backend.follows if each.service == what.name]
    yield from _following(site, follows[0]) if follows else _not_following(what.name)


def image(backend: Backend, what: Service) -> str:
    """Its image's name, without the digest."""
    return f"{backend.registry}/{what.image}"


def confined(what: Service) -> frozenset[str]:
    """docker-run's options that hold it in, in docker's own words."""
    group = {f"--group-add={service.DOCKER_GROUP}"} if what.docker else set()
    return frozenset(
        {
            *("--init", "--read-only", "--network=bridge", "--cap-drop=ALL"),
            *("--security-opt=no-new-privileges", f"--dns={networks.NO_DNS}"),
            f"--user={what.uid}:{what.gid}",
            f"--pids-limit={_PIDS}",
            *group,
        }
    )


def unit(site: Site, what: Service) -> str:
    """The text of its unit. `$` and `%` of ours mean nothing to systemd."""
    group = f"--group-add={service.DOCKER_GROUP}"
    limits = sorted(confined(what) - {group})
    options = [
        *("--rm", f"--name={what.name}", "--attach=stdout", *limits),
        *(("--group-add=${DOCKER_GID}",) if what.docker else ()),
        *("--ulimit=core=0", f"--tmpfs={_TMP}", "--env=HOME=/tmp"),
        *("--log-driver=journald", f"--log-opt=tag={what.name}"),
        f"--env-file={what.merged}",
        *(_word(f"--env={name}={value}") for name, value in what.environment),
        *(_word(f"--volume={mount}") for mount in what.mounts),
    ]
    return _UNIT.substitute(
        name=what.name,
        title=what.title,
        sources=" ".join(_trees(what)),
        settings=what.settings,
        options="".join(f"    {option} \\\n" for option in options),
        command="".join(f" {_word(word)}" for word in what.command),
    )


def _trees(what: Service) -> Iterator[str]:
    """What it works on; a file of ours is there when its unit is."""
    for mount in what.mounts:
        source, target, *_ = mount.split(":")
        if source == target and source.startswith("/srv/"):
            yield source


def _word(text: str) -> str:
    safe = text.replace("%", "%%").replace("$", "$$")
    return safe if re.fullmatch(r"[\w.,:/@%$=-]*", safe) else f"'{safe}'"


# ---- an image that follows a tag

_FOLLOW_SERVICE = Template("""\
[Unit]
Description=$service follows $tag until $until, for $owner

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/backend service follow $service
# Degraded: the registry did not answer, or the day has come.
SuccessExitStatus=4
TimeoutStartSec=3600
UMask=0077
""")

_FOLLOW_TIMER = Template("""\
[Unit]
Description=Look every hour whether $tag of $service is another image

[Timer]
OnCalendar=hourly
RandomizedDelaySec=600

[Install]
WantedBy=timers.target
""")


def _following(site: Site, follow: Follow) -> Iterator[Resource]:
    service = _FOLLOW_SERVICE.substitute(vars(follow))
    timer = _FOLLOW_TIMER.substitute(vars(follow))
    yield from timed(_follow(follow.service), service, timer)


def _not_following(name: str) -> Iterator[Resource]:
    """An exception that is over leaves nothing behind."""
    unit = _follow(name)
    yield Unit(f"{unit}.timer", enabled=False, running=False)
    for kind in ("timer", "service"):
        yield NoFile(f"{UNITS}/{unit}.{kind}")


def _follow(name: str) -> str:
    return f"opensafely-{name}-follow"
