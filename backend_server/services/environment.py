"""What a service's environment is on this host: the files of service.ENV_FILES together."""

from __future__ import annotations

import contextlib
from typing import Iterable

from backend_server.checkout import Backend, env, service
from backend_server.host import Host, HostReader
from backend_server.text.frozen import Frozen
from backend_server.text.problem import Problem


HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
# By one of these the programs in containers tell others of them.
_EXPORTER = "OTEL_EXPORTER_"


class Environment(Frozen):
    """Values by name; lines that are none; required names that have no value; and withheld ones."""

    values: dict[str, str]
    problems: tuple[Problem, ...]
    missing: tuple[str, ...]
    withheld: tuple[str, ...]


def telemetry(backend: Backend) -> tuple[tuple[str, str], ...]:
    """What a service is told of where to tell of itself: nothing, unless the backend says so."""
    if not backend.telemetry:
        return ()
    name = backend.name
    return (
        ("OTEL_EXPORTER_OTLP_ENDPOINT", backend.telemetry),
        ("OTEL_RESOURCE_ATTRIBUTES", f"rap.backend={name},backend={name}"),
        # As much as the collector takes.
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "2000"),
        ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "65536"),
        ("OTEL_SEMCONV_STABILITY_OPT_IN", "http"),
    )


def now(
    host: HostReader,
    secrets: Iterable[str] = (),
    others: frozenset[str] = frozenset(),
) -> Environment:
    """What a service that needs these SECRETS, and is told no OTHERS, would be started with.

    Where it exports telemetry to is its unit's to say, and that it does is the backend's.
    """
    files = {path: host.read(path) or "" for path in service.ENV_FILES}
    found, problems = env.merge(files.items())
    if others == service.ALL_OTHERS:
        others = frozenset(env.parse("", files[service.SECRETS])[0])
    telling = {n for n in found if n in secrets or n not in others}
    values = {n: found[n] for n in telling if n in secrets or _EXPORTER not in n}
    missing = tuple(name for name in secrets if not values.get(name))
    withheld = tuple(sorted(telling - values.keys()))
    return Environment(values, tuple(problems), missing, withheld)


def differing(
    host: HostReader,
    name: str,
    secrets: Iterable[str],
    others: frozenset[str] = frozenset(),
) -> tuple[str, ...]:
    """Names whose value is another one now than the service NAME was started with."""
    started = env.literal(host.read(f"{service.MERGED}/{name}") or "")
    values = now(host, secrets, others).values
    return tuple(sorted({name for name, _ in started.items() ^ values.items()}))


def lay(host: Host, name: str, found: Environment) -> None:
    """docker finds the environment of NAME, in its own literal form, where its unit says."""
    if host.stat(service.MERGED) is None:
        with contextlib.suppress(FileExistsError):  # by another service, a moment ago
            host.make_directory(service.MERGED, 0o700, "root", "root")
    host.write(f"{service.MERGED}/{name}", env.rendered(found.values), 0o600)
