"""How dockerd runs, and who it answers: the way to docker is a way to root."""

from __future__ import annotations

import json
import re
import stat
from functools import partial
from typing import Any, Dict

from backend_server.engine import AtPath, Changes, Host, HostReader, compare, octal
from backend_server.text.acl import ACCESS
from backend_server.text.errors import CommandFailed, Refused
from backend_server.text.parsers import parse_assignments
from backend_server.text.roles import DOCKER


SERVICE = "docker.service"
DAEMON_JSON = "/etc/docker/daemon.json"
_RELOAD = f"reload.{SERVICE}"  # the mark of a reload, which is not a restart
_GOOD = "/var/lib/opensafely/docker/daemon.json"  # as this tool wrote it last
_OPTIONS = "/etc/default/docker"
_DOCKERD = ("/usr/sbin/dockerd", "/usr/bin/dockerd")

_NO_WAY_OUT = "leaves containers without a way to any network"
# What each key may be besides absent, and why it may not be anything else.
_UNWANTED: dict[str, tuple[list[Any], str]] = {
    "hosts": (
        [[]],
        "opens docker beside its own socket, and whoever gets there is root",
    ),
    "group": (
        ["", "docker"],
        "lets another group start containers, which is being root",
    ),
    "userns-remap": ([""], "gives the files of jobs other owners"),
    "bridge": (["", "docker0"], "takes away the network that services are on"),
    "iptables": ([True], _NO_WAY_OUT),
    "ip-forward": ([True], _NO_WAY_OUT),
    "ip-masq": ([True], _NO_WAY_OUT),
    # What stays within the host is not tracked, and so gets no other address.
    "userland-proxy": ([True], "closes to this host what is published on 127.0.0.1"),
    "firewall-backend": (
        ["", "iptables"],
        "puts docker's rules where they are not looked for",
    ),
}
_ELSEWHERE = r"tcp://|unix://(?!(/var)?/run/docker\.sock$)"
_RELOADED = {"live-restore"}  # of our keys, what dockerd takes over while it runs

Settings = Dict[str, Any]


class DaemonJson(AtPath):
    """dockerd's file has these keys with exactly these values; others are the provider's.

    dockerd is told to read it again, which is enough for live-restore; for the rest a mark
    waits until somebody restarts it. A file that somebody broke is put back as this tool
    wrote it last, and theirs lies beside it. What undoes what we need is Refused.
    """

    text: str
    loaded: str = "done"

    def asks(self) -> tuple[str, ...]:
        return (SERVICE,)

    def check(self, host: HostReader) -> Changes:
        text, found = host.read(self.path), self._found(host)
        self._refuse_settings(found)
        self._refuse_options(host)
        loaded = compare(loaded=(host.notice(_RELOAD), self.loaded))
        wanted = self._merged(found)
        if text is not None and parsed(text) == wanted:
            return loaded
        host.refuse_unreachable(self.path)
        return compare(text=(text, _rendered(wanted))) + loaded

    def apply(self, host: Host, changes: Changes) -> None:
        text, found = host.read(self.path), self._found(host)
        wanted = self._merged(found)
        unit = host.unit(SERVICE)
        running = unit.get("ActiveState") == "active"
        if running:
            host.mark_pending(_RELOAD, self.label)
            if any(found.get(key) != wanted[key] for key in wanted.keys() - _RELOADED):
                host.mark_pending(SERVICE, self.label, unit.get("MainPID", ""))
        if text is not None and parsed(text) is None:
            host.write(f"{self.path}.broken", text, 0o600)
        at = host.stat(self.path)
        mode = stat.S_IMODE(at.st_mode) if at else 0o644
        validate = partial(_validate, host)
        host.write(self.path, _rendered(wanted), mode, validate=validate)
        host.write(_GOOD, _rendered(wanted), 0o600)
        if running:
            host.run("systemctl", "reload", SERVICE)
        host.clear_pending(_RELOAD)

    def _found(self, host: HostReader) -> Settings:
        """What the file says; where it is broken, what it said when we wrote it last."""
        text = host.read(self.path)
        found = {} if text is None else parsed(text)
        if found is None:
            found = parsed(host.read(_GOOD) or "none")
        if found is None:
            raise Refused(
                f"{self.path} holds no JSON object, so dockerd will not start with it",
                hint=f"mv {self.path} {self.path}.broken",
            )
        return found

    def _merged(self, found: Settings) -> Settings:
        """Limits of the provider's stay beside ours; options of a log driver go with it."""
        ours: Settings = json.loads(self.text)
        theirs = found.get("default-ulimits")
        if isinstance(theirs, dict) and "default-ulimits" in ours:
            ours["default-ulimits"] = {**theirs, **ours["default-ulimits"]}
        return {**found, **ours}

    def _refuse_settings(self, found: Settings) -> None:
        for key, (harmless, why) in _UNWANTED.items():
            if key in found and found[key] not in harmless:
                raise Refused(
                    f"{self.path} sets {key} to {json.dumps(found[key])}, which {why}",
                    hint=f"grep -n '\"{key}\"' {self.path}",
                )

    def _refuse_options(self, host: HostReader) -> None:
        """dockerd does not start where its options and the file both say something."""
        defaults = host.parsed(_OPTIONS, parse_assignments)
        unit = host.unit(SERVICE)
        now = host.read(f"/proc/{unit.get('MainPID')}/cmdline") or ""
        next_ = f"{unit.get('ExecStart', '')} {defaults.get('DOCKER_OPTS', '')}"
        keys = {*json.loads(self.text), *_UNWANTED} - {"hosts"}
        ours = {"-b", "-G", *("--" + key.rstrip("s") for key in keys)}
        for option in f"{next_} {now}".replace("\0", " ").split():
            name = option.partition("=")[0]
            if re.search(_ELSEWHERE, option) or name.rstrip("s") in ours:
                raise Refused(
                    f"dockerd is started with {option}; wanted it to listen on its own "
                    f"socket only, and {self.path} to say the rest",
                    hint=f"grep -n DOCKER_OPTS {_OPTIONS}; systemctl cat {SERVICE}",
                )


def parsed(text: str) -> Settings | None:
    """None for what dockerd would not take for a list of settings."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _rendered(settings: Settings) -> str:
    return json.dumps(settings, indent=4, sort_keys=True) + "\n"


def _validate(host: Host, candidate: str) -> None:
    """dockerd's own word, once it is here; before version 23 it gives none."""
    if not any(host.stat(path) for path in _DOCKERD):
        return
    try:
        host.run("dockerd", "--validate", "--config-file", candidate)
    except CommandFailed as error:
        if "unknown flag" not in error.hint:
            raise


class DockerSocket(AtPath):
    """docker's own socket answers root and its group, however it was made; where one is there."""

    access: str = f"0660 root:{DOCKER}"

    def check(self, host: HostReader) -> Changes:
        at = host.stat(self.path)
        if at is None:
            return ()
        owners = f"{host.user_name(at.st_uid)}:{host.group_name(at.st_gid)}"
        found = f"{octal(stat.S_IMODE(at.st_mode))} {owners}"
        found += " and a list" if host.acl(self.path, ACCESS) else ""
        return compare(access=(found, self.access))

    def apply(self, host: Host, changes: Changes) -> None:
        host.run("setfacl", "--remove-all", self.path)
        for program, to in zip(("chmod", "chown"), self.access.split()):
            host.run(program, to, self.path)
