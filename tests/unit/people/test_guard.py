"""That enough people can log in and become root after a run: who counts, and why not."""

from pathlib import Path

import pytest

from backend_server.host.reader import HostReader
from backend_server.people.guard import enough_remain, why_not
from backend_server.text.errors import Refused
from tests.unit.example import site_of


UNSET = 2**32 - 1


@pytest.fixture
def site(tmp_path):
    return site_of("emis", "12", tmp_path)


def host_with(place: Path, *lines: str, login: int = UNSET) -> HostReader:
    """A host whose shadow(5) has these, as NAME:PASSWORD; LOGIN is the uid that logged in."""
    (place / "root/etc").mkdir(parents=True)
    (place / "root/proc/self").mkdir(parents=True)
    shadow = (f"{line}:19000:0:99999:7:::" for line in lines)
    (place / "root/etc/shadow").write_text("".join(f"{row}\n" for row in shadow))
    names = ("root", "ubuntu", "ada", "linus")
    passwd = (f"{name}:x:{uid}:{uid}::/:/bin/sh\n" for uid, name in enumerate(names))
    (place / "root/etc/passwd").write_text("".join(passwd))
    (place / "root/proc/self/loginuid").write_text(str(login))
    return HostReader(place / "root")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("ada:!", ""),
        ("ada:$y$hash", ""),
        ("grace:!", ""),  # ada's account will be made
        ("ada:!$y$hash", "locked"),
        ("ada:*", "locked"),
        ("ada:!!", "locked"),
        ("ada:!*", "locked"),
    ],
)
def test_why_not(site, tmp_path, line, why):
    host = host_with(tmp_path, line)
    found = why_not(site.people["developers"][0], site, host)
    assert why in found
    assert bool(found) == bool(why)
    if why:
        with pytest.raises(Refused, match="nobody would be able"):
            enough_remain(alone(site), host)
    else:
        enough_remain(alone(site), host)


def alone(site):
    """Ada is the only developer."""
    developers = site.people["developers"][:1]
    return site._replace(people={**site.people, "developers": developers})


def test_where_sudo_needs_no_password_a_locked_one_is_fine(site, tmp_path):
    host = host_with(tmp_path, "ada:!$y$hash")
    easy = site._replace(backend=site.backend._replace(sudo_password=False))
    enough_remain(easy, host)


@pytest.mark.parametrize("keys", [{}, {"ada": ()}, {"rita": ("x",)}])
def test_without_a_key(site, tmp_path, keys):
    host = host_with(tmp_path)
    with pytest.raises(Refused) as refused:
        enough_remain(site._replace(keys=keys), host)
    said = str(refused.value)
    assert "nobody would be able" in said
    assert "ada has no key" in said
    assert "keys/grace" in said
    assert refused.value.hint


def test_a_key_of_github_is_as_good(site, tmp_path):
    held = {"ada": site.keys["ada"], "grace": site.keys["grace"]}
    enough_remain(site._replace(keys={}, github=held), host_with(tmp_path))


def test_one_of_two_is_too_few(site, tmp_path):
    host = host_with(tmp_path, "grace:!$y$hash")
    with pytest.raises(Refused, match="only ada would be able.* wanted 2"):
        enough_remain(site, host)
    enough_remain(site, host, enough=1)


@pytest.mark.parametrize("people", [{}, {"developers": ()}])
def test_an_empty_roster(site, tmp_path, people):
    with pytest.raises(Refused, match="no developer is on the roster"):
        enough_remain(site._replace(people=people), host_with(tmp_path))


def test_who_may_not_use_sudo_does_not_count(site, tmp_path):
    keys = {name: site.keys[name] for name in ("rita", "gus")}
    with pytest.raises(Refused):
        enough_remain(site._replace(keys=keys), host_with(tmp_path))


@pytest.mark.parametrize(
    ("uid", "why"),
    [
        (UNSET, ""),  # a console, cloud-init, a timer
        (0, ""),
        (1, ""),  # the provider's
        (2, ""),  # ada
        (3, "linus is no developer"),
        (77, "77 is no developer"),  # somebody whose account is gone
    ],
)
def test_who_runs_it_must_be_able_to_come_back(site, tmp_path, uid, why):
    host = host_with(tmp_path, login=uid)
    if not why:
        enough_remain(site, host)
        return
    with pytest.raises(Refused, match="would not be able to come back") as refused:
        enough_remain(site, host)
    assert why in str(refused.value)


def test_a_developer_who_runs_it_and_has_no_key_is_refused(site, tmp_path):
    keys = {**site.keys, "linus": site.keys["ada"]}
    linus = site.people["developers"][0]._replace(name="linus")
    people = {"developers": (*site.people["developers"], linus)}
    del keys["ada"]
    with pytest.raises(Refused, match="ada has no key"):
        enough_remain(
            site._replace(people=people, keys=keys), host_with(tmp_path, login=2)
        )
