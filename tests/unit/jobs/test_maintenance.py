"""What a maintenance moves of what is held."""

import pytest

from backend_server.desktop import xrdp
from backend_server.host.writer import Host
from backend_server.jobs.maintenance import movable
from backend_server.jobs.proving import DEGRADED


PACKAGE = "Package: {}\nStatus: hold ok installed\nArchitecture: all\nVersion: 1\n"
SESSION = "USER=gus\nCLASS=user\nSERVICE={}\nLEADER=1\nMONOTONIC=1\n"


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def lay(host, path, text):
    place = host.root / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)


def install(host, *names):
    lay(host, "/var/lib/dpkg/status", "\n".join(PACKAGE.format(n) for n in names))


def test_the_desktop_moves_while_nobody_is_on_it(host):
    install(host, "docker.io", "xrdp", "xorgxrdp")
    lay(host, xrdp.CERTIFICATE, "")
    lay(host, "/run/systemd/sessions/7", SESSION.format("sshd"))
    assert movable(host) == (["docker.io", "xorgxrdp", "xrdp"], None)


def test_it_stays_while_somebody_is(host):
    install(host, "docker.io", "xrdp", "xorgxrdp")
    lay(host, xrdp.CERTIFICATE, "")
    lay(host, "/run/systemd/sessions/7", SESSION.format("xrdp-sesman"))
    moves, waits = movable(host)
    assert moves == ["docker.io"]
    assert waits.outcome == DEGRADED
    assert waits.says.startswith("1 session open, so xorgxrdp and xrdp did not move: ")


def test_an_xrdp_of_the_providers_is_theirs(host):
    install(host, "docker.io", "xrdp")
    lay(host, "/run/systemd/sessions/7", SESSION.format("xrdp-sesman"))
    assert movable(host) == (["docker.io"], None)
