"""Services in containers."""

from __future__ import annotations

from typing import Any, Iterator, Mapping

from backend_server.checkout.service import ALL_OTHERS, DOCKER_GROUP, unit_of
from backend_server.engine import Changes, Host, HostReader, Resource, compare
from backend_server.host.mounts import is_mounted
from backend_server.services import choices, environment, switching


# Words of docker-run(1), and what docker calls them of a container.
_SWITCHES = {"read-only": "ReadonlyRootfs", "privileged": "Privileged", "init": "Init"}


class ContainerService(Resource):
    """A container that systemd keeps running at one digest of IMAGE, as its unit says.

    `locked` is the checkout's digest, where nobody chose another on this host. Without any, or
    without a value for one of its `secrets`, nothing is wanted of it: it is not started, and
    what runs already goes on. So it is while nothing is mounted at its `disk`. `docker` is
    whether it joins docker's group, whose number only the host knows. Another environment, image or file mounted singly wants a restart; after
    one it must run for `steady_s` seconds, or the image before is brought back.
    """

    name: str
    image: str
    locked: str
    confined: frozenset[str]  # docker-run's words for what the container may do
    mounts: frozenset[str]
    secrets: tuple[str, ...] = ()
    others: frozenset[str] = ALL_OTHERS  # as of a Service
    docker: bool = False
    disk: str = ""
    steady_s: int = 15
    keeps: tuple[str, ...] = ()  # as of a Service
    page: str = ""
    enabled: bool = True
    running: bool = True
    environment: str = "as the files say"
    on_change: str = "done"

    @property
    def unit(self) -> str:
        return unit_of(self.name)

    def asks(self) -> tuple[str, ...]:
        return (self.unit,)

    def check(self, host: HostReader) -> Changes:
        unit = host.unit(self.unit)
        up = unit.get("ActiveState") in ("active", "activating", "reloading")
        notice = host.notice(self.unit)
        if not self._ready(host):
            # What is down has noticed everything when it starts.
            return () if up else compare(on_change=(notice, self.on_change))
        found, wanted = choices.settings(host, self.name), self._settings(host)
        group = found.docker_gid == wanted.docker_gid and bool(found.docker_gid)
        changes = compare(
            image=(found.image or None, wanted.image),
            docker=(group, self.docker),
            enabled=(unit.get("UnitFileState") == "enabled", self.enabled),
            running=(up, self.running),
            on_change=(notice, self.on_change),
        )
        return changes + (self._as_started(host) if up else ())

    def apply(self, host: Host, changes: Changes) -> None:
        if not self._ready(host):
            host.clear_pending(self.unit)
            return
        wanted = self._settings(host)
        if not host.docker_object(wanted.image):
            switching.pull(host, wanted.image)
        from backend_server.services import answering, backup  # seldom needed

        other = any(change.field == "image" for change in changes)
        data = backup.before(host, self.name, self.keeps if other else ())
        of = (host, self.name, wanted, self.steady_s)
        switching.switch(*of, doubt=lambda: answering.doubt(self.page), data=data)

    def _ready(self, host: HostReader) -> bool:
        digest = choices.digest(host, self.name, self.locked)
        found = environment.now(host, self.secrets, self.others)
        away = self.disk and not is_mounted(host, self.disk)
        return bool(digest) and not (found.missing or found.problems or away)

    def _settings(self, host: HostReader) -> choices.Settings:
        digest = choices.digest(host, self.name, self.locked)
        image = f"{self.image}@{digest}"
        return switching.wanted(host, self.name, image, self.docker)

    def _as_started(self, host: HostReader) -> Changes:
        """How the container that runs differs from what it would be if started now."""
        of = (self.name, self.secrets, self.others)
        differing = environment.differing(host, *of)
        container = host.docker_object(self.name)
        changes: Changes = ()
        if differing:
            was = f"before {', '.join(differing)} changed"
            changes += compare(environment=(was, self.environment))
        if container.get("State", {}).get("Running"):
            confined = frozenset(self._words(container, host))
            mounts = frozenset(self._mounted(container, host))
            changes += compare(confined=(confined, self.confined))
            changes += compare(mounts=(mounts, self.mounts))
        return changes

    def _words(self, container: Mapping[str, Any], host: HostReader) -> Iterator[str]:
        """The words of `confined` that hold for this container, and those it has besides."""
        config, limits = container["Config"], container["HostConfig"]
        yield f"--user={config['User']}"
        mode = limits["NetworkMode"]
        # docker says `default` where nothing was asked for, which is its own bridge.
        yield f"--network={'bridge' if mode == 'default' else mode}"
        for port, ends in (limits.get("PortBindings") or {}).items():
            to = port.partition("/")[0]
            yield from (f"--publish={e['HostIp']}:{e['HostPort']}:{to}" for e in ends)
        for word in ("cap-drop", "cap-add", "security-opt", "dns"):
            found = limits.get(word.title().replace("-", "")) or ()  # as CapDrop
            yield from (f"--{word}={each}" for each in found)
        yield from self._pids(limits.get("PidsLimit"))
        yield from (f"--{word}" for word, key in _SWITCHES.items() if limits.get(key))
        image = choices.settings(host, self.name).image
        if config["Image"] != image:
            yield f"IMAGE={config['Image']}"
        groups = [str(each) for each in limits.get("GroupAdd") or ()]
        own = [switching.docker_gid(host)] if self.docker else []
        yield from (f"--group-add={each}" for each in groups if each not in own)
        if self.docker and groups == own:
            yield f"--group-add={DOCKER_GROUP}"

    def _pids(self, found: int | None) -> Iterator[str]:
        """Where the kernel cannot limit them, docker says so in the journal and goes on."""
        wanted = (word for word in self.confined if word.startswith("--pids-limit="))
        yield from wanted if found is None else (f"--pids-limit={found}",)

    def _mounted(self, container: Mapping[str, Any], host: HostReader) -> Iterator[str]:
        """Its mounts, but for files that were replaced on the host since it began."""
        seen = f"/proc/{container['State']['Pid']}/root"
        for mount in container["HostConfig"].get("Binds") or ():
            source, target = mount.split(":")[:2]
            here, inside = host.stat(source), host.stat(seen + target)
            if here and inside and here.st_ino != inside.st_ino:
                continue
            yield mount
