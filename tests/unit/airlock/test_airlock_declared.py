"""What a backend declares once it says `airlock`, and that none does otherwise."""

import pytest

from backend_server.checkout.backend import Airlock
from backend_server.resources import UNITS
from backend_server.run.backends import declare
from backend_server.run.place import services_of
from backend_server.text.releases import RELEASES
from tests.unit.example import BACKENDS, ROOT, site_of
from tests.unit.test_golden import ONLY


NAME = "emis.backends.opensafely.org"
PROGRAM = "/etc/xdg/opensafely/airlock/window"
PAGES = "/etc/xdg/opensafely/data/applications/opensafely-page.desktop"
MENU = "/etc/xdg/opensafely/menus/xfce-applications.menu"
SOCKET = f"{UNITS}/opensafely-airlock-window.socket"
PROFILE = "/etc/apparmor.d/opensafely-airlock"


def declared(backend, release, place, airlock=True, **more):
    """Each resource by its label."""
    site = site_of(backend, release, place / "checkout")
    what = Airlock(NAME, **more) if airlock else None
    changed = site.backend._replace(airlock=what)
    site = site._replace(backend=changed, services=services_of(changed))
    return {str(r): r for part in declare(site) for r in part.resources}


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_it_there_is_nothing_of_it(backend, tmp_path):
    found = declared(backend, "bookworm", tmp_path, airlock=False)
    labels = (label for label in found if label != f"File {PROGRAM}")
    assert not [label for label in labels if "airlock" in label.lower()]


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_with_a_desktop_there_is_a_window(release, tmp_path):
    found = declared("emis", release.codename, tmp_path)
    assert found["Packages window"].names == {release.qt}
    assert found[f"File {PROGRAM}"].mode == 0o755
    assert f"Exec={PROGRAM} %f\n" in found[f"File {PAGES}"].text
    assert "netsurf-gtk" not in found["Packages packages/desktop.txt"].names
    assert found[f"File {MENU}"].text.count("opensafely-airlock.desktop") == 2
    assert (f"File {PROFILE}" in found) == release.asks_for_userns
    assert "SocketMode=0660\n" in found[f"UnitFile {SOCKET}"].text
    assert f"Certificate {NAME}" in found


def test_all_that_etc_has_for_it_is_laid(tmp_path):
    paths = {
        r.path
        for r in declared("emis", "noble", tmp_path).values()
        if hasattr(r, "path")
    }
    files = (
        f"/{path.relative_to(ROOT)}"
        for path in (ROOT / "etc").rglob("*")
        if path.is_file()
    )
    assert {path for path in files if path.startswith(ONLY["airlock"])} <= paths


def test_without_a_desktop_there_is_a_certificate_alone(tmp_path):
    found = declared("tpp", "bookworm", tmp_path)
    assert f"Certificate {NAME}" in found
    assert "Unit opensafely-certificate.timer" in found
    assert "Packages window" not in found
    assert f"File {PROGRAM}" not in found


@pytest.mark.parametrize(
    ("level4", "at", "open_to"),
    [
        ((), "127.0.0.1", []),
        (
            ("10.1.2.0/24",),
            "0.0.0.0",
            ["ip saddr 10.1.2.0/24 tcp dport { 8000 } accept"],
        ),
    ],
)
def test_it_answers_this_host_or_level_4_and_nobody_else(level4, at, open_to, tmp_path):
    found = declared("tpp", "noble", tmp_path, level4=level4)
    assert f"--publish={at}:443:8000" in found["ContainerService airlock"].confined
    assert "--network=os-airlock" in found["ContainerService airlock"].confined
    rules = found["NftTable opensafely"].text.splitlines()
    lines = [line.strip() for line in rules if 'oifname "os-airlock"' in line]
    refused = ['oifname "os-airlock" meta skuid != 0 goto refuse']
    doors = [f'oifname "os-airlock" {each}' for each in open_to]
    assert lines == [*doors, 'oifname "os-airlock" goto answers', *refused]


def test_its_unit_is_the_job_runners(tmp_path):
    """But for its network, its port and its mounts: no limit is less."""
    found = declared("emis", "noble", tmp_path)
    runner, airlock = (found[f"ContainerService {n}"] for n in ("jobrunner", "airlock"))
    assert runner.confined - airlock.confined == {
        "--group-add=docker",
        "--network=bridge",
    }
    more = {"--network=os-airlock", "--publish=127.0.0.1:443:8000"}
    assert airlock.confined - runner.confined == more
    mounts = {mount for mount in airlock.mounts if not mount.endswith(":ro")}
    assert mounts == {
        "/srv/medium_privacy/requests:/srv/medium_privacy/requests",
        "/var/lib/opensafely/airlock:/workdir",
    }
