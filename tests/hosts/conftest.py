"""Disposable hosts for tests: the code of scripts/sandbox.sh, as fixtures.

Everything here needs root, and the first use of a release or a backend some minutes.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Callable, Iterator, Mapping

import pytest

from sandbox import cgroups, leftovers, uplink
from sandbox.controller import Controller
from sandbox.guest import Guest
from sandbox.host import Host
from sandbox.network import Lab
from sandbox.outside import Outside
from sandbox.people import People
from sandbox.sandbox import Sandbox


HostFactory = Callable[..., Host]


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """One lab with its stand-ins for the whole session."""
    with Sandbox() as made:
        yield made


@pytest.fixture(scope="session")
def lab(sandbox: Sandbox) -> Lab:
    """The network: `rejected()`, `archive_down()`, `archive_up()`."""
    return sandbox.lab


@pytest.fixture
def outside(sandbox: Sandbox) -> Iterator[Outside]:
    """The stand-ins, with nothing asked yet; after the test they are as they were."""
    sandbox.outside.reset()
    yield sandbox.outside
    sandbox.outside.reset()


@pytest.fixture
def controller(sandbox: Sandbox) -> Iterator[Controller]:
    """Gives agents work and hears of it; nothing is listed yet, nor after the test."""
    sandbox.outside.controller.reset()
    yield sandbox.outside.controller
    sandbox.outside.controller.reset()


@pytest.fixture
def job_runner(sandbox: Sandbox) -> Mapping[str, str]:
    """The digests of its images, by version."""
    return sandbox.images.digests["opensafely-core/job-runner"]


@pytest.fixture(scope="session")
def people(sandbox: Sandbox) -> People:
    """Who is on the rosters of bare hosts; a warm host has its own: `host.people`."""
    return sandbox.people


@pytest.fixture
def bare_host(sandbox: Sandbox) -> Iterator[HostFactory]:
    """bare_host(release="bookworm", shape=()): booted, untouched; gone after the test."""
    yield from _factory(sandbox, sandbox.bare)


@pytest.fixture
def warm_host(sandbox: Sandbox) -> Iterator[HostFactory]:
    """warm_host(backend, release="bookworm"): managed once; gone after the test."""
    yield from _factory(sandbox, sandbox.warm)


@pytest.fixture(scope="module")
def shared_bare_host(sandbox: Sandbox) -> Iterator[HostFactory]:
    """As bare_host, for hosts that the tests of a file share."""
    yield from _factory(sandbox, sandbox.bare)


@pytest.fixture(scope="module")
def shared_warm_host(sandbox: Sandbox) -> Iterator[HostFactory]:
    """As warm_host, for hosts that the tests of a file share."""
    yield from _factory(sandbox, sandbox.warm)


@pytest.fixture(scope="module")
def guest(sandbox: Sandbox) -> Iterator[Guest]:
    """A server with a kernel of its own, managed once as tpp, that a file's tests share."""
    made = sandbox.guest("tpp")
    yield made
    sandbox.remove(made)


@pytest.fixture(scope="session")
def left_of() -> Callable[[str], list]:
    """left_of("sb00"): what this machine has of a lab, [] when it is gone."""
    return _left_of


def _left_of(lab: str) -> list:
    links = subprocess.check_output(["ip", "-o", "link"], text=True)
    tables = subprocess.check_output(["nft", "list", "tables"], text=True)
    folders = [uplink.RUNTIME / lab, Path("/run/netns") / lab]
    return [
        *cgroups.hosts(lab),
        *leftovers.mounts(lab),
        *(path for path in folders if path.exists()),
        *(text for text in (links, tables) if lab in text),
    ]


def _factory(sandbox: Sandbox, make: HostFactory) -> Iterator[HostFactory]:
    before = list(sandbox.hosts)
    yield make
    for host in [host for host in sandbox.hosts if host not in before]:
        sandbox.destroy(host)
