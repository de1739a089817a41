"""Who is asked for a second factor, and who has none."""

from __future__ import annotations

import base64
from urllib.parse import parse_qs, urlparse

import pytest

from backend_server.access import pam_profiles, second_factor
from backend_server.host.reader import HostReader
from backend_server.text.errors import Refused
from tests.unit.example import site_of


class Written(HostReader):
    """Keeps in memory what would be written."""

    def write(self, path, text, mode):
        self.path, self.text, self.mode = path, text, mode


@pytest.fixture
def site(tmp_path):
    found = site_of("emis", "12", tmp_path / "checkout")
    return found._replace(backend=found.backend._replace(second_factor=True))


@pytest.fixture
def host(tmp_path):
    etc = tmp_path / "host/etc"
    etc.mkdir(parents=True)
    names = ("ada", "gus", "hope")
    lines = (f"{n}:x:{1000 + i}:{1000 + i}::/home/{n}:/x" for i, n in enumerate(names))
    (etc / "passwd").write_text("\n".join(lines) + "\n")
    groups = "opensafely-people:x:1:ada,gus,hope\nreviewers:x:2:gus,hope,stranger\n"
    (etc / "group").write_text(groups)
    return Written(tmp_path / "host")


def lay(host, *names):
    place = host.root / pam_profiles.SECRETS.lstrip("/")
    place.mkdir(parents=True)
    for name in names:
        (place / name).touch()


def test_who_has_none(site, host):
    lay(host, "gus")
    states = {n: second_factor.state(site, host, n) for n in ("ada", "gus", "hope")}
    assert states == {"ada": None, "gus": "set", "hope": "none yet"}
    assert second_factor.without(site, host) == ["hope"]


def test_nobody_is_asked(site, host):
    site = site._replace(backend=site.backend._replace(second_factor=False))
    assert second_factor.without(site, host) == []
    with pytest.raises(Refused, match="emis asks nobody for a second factor"):
        second_factor.refuse(host, site.backend, "gus")


@pytest.mark.parametrize("name", ["ada", "stranger", "nosuch"])
def test_others_are_given_none(site, host, name):
    lay(host)
    with pytest.raises(Refused, match="is no reviewer on this host; these are: gus, h"):
        second_factor.refuse(host, site.backend, name)


def test_not_before_the_host_asks_for_one(site, host):
    with pytest.raises(Refused, match="does not ask for a second factor yet"):
        second_factor.refuse(host, site.backend, "gus")


def test_a_secret_is_new_each_time_and_closed(site, host):
    uri = second_factor.give(host, site.backend, "gus")
    assert second_factor.give(host, site.backend, "gus") != uri
    secret, *settings = host.text.splitlines()
    assert (host.path, host.mode) == (f"{pam_profiles.SECRETS}/gus", 0o400)
    assert len(base64.b32decode(secret)) == 20
    assert all(line.startswith('" ') for line in settings)
    assert set(parse_qs(urlparse(uri).query)) == {"secret", "issuer"}
