"""That somebody can log in and become root after a run: who counts, and why not."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from backend_server.errors import Refused
from backend_server.guard import somebody_remains, why_not
from backend_server.host.reader import HostReader
from tests.unit.example import site_of


TODAY = int(time.time()) // (24 * 60 * 60)


@pytest.fixture
def site(tmp_path):
    return site_of("emis", "12", tmp_path)


def host_with(place: Path, *lines: str) -> HostReader:
    """A host whose shadow(5) has these, as NAME:PASSWORD:EXPIRES."""
    (place / "root/etc").mkdir(parents=True)
    rows = (line.split(":") for line in lines)
    shadow = (f"{name}:{secret}:19000:0:99999:7::{day}:" for name, secret, day in rows)
    (place / "root/etc/shadow").write_text("".join(f"{row}\n" for row in shadow))
    return HostReader(place / "root")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("ada:!:", ""),
        ("ada:$y$hash:", ""),
        (f"ada:!:{TODAY + 1}", ""),
        ("grace:!:", ""),  # ada's account will be made
        (f"ada:!:{TODAY}", "expired"),
        ("ada:!:0", "expired"),
        ("ada:!:1", "expired"),
        ("ada:!$y$hash:", "locked"),
        ("ada:*:", "locked"),
        ("ada:!!:", "locked"),
        ("ada:!*:", "locked"),
    ],
)
def test_why_not(site, tmp_path, line, why):
    host = host_with(tmp_path, line)
    found = why_not(site.people["developers"][0], site, host)
    assert why in found
    assert bool(found) == bool(why)
    if why:
        with pytest.raises(Refused, match="nobody would be able"):
            somebody_remains(alone(site), host)
    else:
        somebody_remains(alone(site), host)


def alone(site):
    """Ada is the only developer."""
    developers = site.people["developers"][:1]
    return replace(site, people={**site.people, "developers": developers})


def test_where_sudo_needs_no_password_a_locked_one_is_fine(site, tmp_path):
    host = host_with(tmp_path, "ada:!$y$hash:")
    easy = replace(site, backend=replace(site.backend, sudo_password=False))
    somebody_remains(alone(easy), host)


@pytest.mark.parametrize("keys", [{}, {"ada": ()}, {"rita": ("x",)}])
def test_without_a_key(site, tmp_path, keys):
    host = host_with(tmp_path)
    with pytest.raises(Refused) as refused:
        somebody_remains(replace(site, keys=keys), host)
    said = str(refused.value)
    assert "ada has no key in keys/ada" in said
    assert "grace has no key in keys/grace" in said
    assert refused.value.hint


def test_one_of_two_is_enough(site, tmp_path):
    host = host_with(tmp_path, "grace:!:0")
    somebody_remains(site, host)
    keys = {"grace": site.keys["grace"]}
    with pytest.raises(Refused, match="grace has an account that is expired"):
        somebody_remains(replace(site, keys=keys), host)


@pytest.mark.parametrize("people", [{}, {"developers": ()}])
def test_an_empty_roster(site, tmp_path, people):
    with pytest.raises(Refused, match="no developer is on the roster"):
        somebody_remains(replace(site, people=people), host_with(tmp_path))


def test_who_may_not_use_sudo_does_not_count(site, tmp_path):
    keys = {name: site.keys[name] for name in ("rita", "gus")}
    with pytest.raises(Refused):
        somebody_remains(replace(site, keys=keys), host_with(tmp_path))
