"""What a service's environment is on this host: the files of service.ENV_FILES together."""

from __future__ import annotations

from typing import Iterable

from backend_server.checkout import env, service
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.text.frozen import Frozen
from backend_server.text.problem import Problem


class Environment(Frozen):
    """Values by name; lines that are none; required names that have no value."""

    values: dict[str, str]
    problems: tuple[Problem, ...]
    missing: tuple[str, ...]


def now(host: HostReader, secrets: Iterable[str] = ()) -> Environment:
    """What a service that needs these SECRETS would be started with."""
    files = ((path, host.read(path) or "") for path in service.ENV_FILES)
    values, problems = env.merge(files)
    missing = tuple(name for name in secrets if not values.get(name))
    return Environment(values, tuple(problems), missing)


def differing(host: HostReader, name: str) -> tuple[str, ...]:
    """Names whose value is another one now than the service NAME was started with."""
    started = env.literal(host.read(f"{service.MERGED}/{name}") or "")
    values = now(host).values
    return tuple(sorted({name for name, _ in started.items() ^ values.items()}))


def lay(host: Host, name: str, found: Environment) -> None:
    """docker finds the environment of NAME, in its own literal form, where its unit says."""
    if host.stat(service.MERGED) is None:
        host.make_directory(service.MERGED, 0o700, "root", "root")
    host.write(f"{service.MERGED}/{name}", env.rendered(found.values), 0o600)
