"""STUB until the services branch is merged."""

from __future__ import annotations

from typing import Iterator, NamedTuple

from backend_server.errors import UserError
from backend_server.gather import Site
from backend_server.host import choices
from backend_server.host.reader import HostReader
from backend_server.service import Service


class State(NamedTuple):
    name: str


def states(site: Site, host: HostReader) -> tuple[State, ...]:
    return ()


def degraded(site: Site, host: HostReader) -> Iterator[str]:
    return iter(())


def images_in_use(site: Site, host: HostReader) -> frozenset[str]:
    found = choices.settings(host, "jobrunner")
    return frozenset({found.image, found.previous} - {""})


def prove(host: HostReader, service: Service) -> None:
    if host.unit(service.unit).get("ActiveState") != "active":
        raise UserError(f"{service.unit} is not active")


def line(state: object) -> str:
    return str(state)
