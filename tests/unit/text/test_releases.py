"""What differs by release, held to what the releases really are."""

import pytest

from backend_server.text.errors import Refused
from backend_server.text.releases import RELEASES, Xrdp, named, of_host


# os-release's ID and VERSION_ID; codename; one-line or deb822 sources; archives; suites.
ROWS = [
    ("ubuntu", "20.04", "focal", False),
    ("ubuntu", "22.04", "jammy", False),
    ("ubuntu", "24.04", "noble", True),
    ("ubuntu", "26.04", "resolute", True),
    ("debian", "11", "bullseye", False),
    ("debian", "12", "bookworm", False),
    ("debian", "13", "trixie", True),
]
ARCHIVES = {
    "ubuntu": ("ubuntu", "ubuntu", "main restricted universe multiverse"),
    "debian": ("debian", "debian-security", "main"),
}


def test_every_row_is_here():
    assert [(r.distribution, r.version, r.codename, r.deb822) for r in RELEASES] == ROWS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2])
def test_a_row(row):
    distribution, version, codename, deb822 = row
    found = of_host({"ID": distribution, "VERSION_ID": version, "PRETTY_NAME": "?"})
    assert found.name == f"{distribution} {version}"
    assert (found.codename, found.deb822) == (codename, deb822)
    assert (found.archive, found.security, found.areas) == ARCHIVES[distribution]
    assert found.suites == (codename, f"{codename}-updates")
    assert found.security_suite == f"{codename}-security"
    assert found.keyring == f"/usr/share/keyrings/{distribution}-archive-keyring.gpg"
    assert found.motd_parts
    assert all("/" not in part for part in found.motd_parts)


# Packages of each archive: the kernel of the cloud image, and what brings hv_kvp_daemon.
VIRTUAL = {"linux-virtual", "linux-cloud-tools-virtual", "linux-tools-virtual"}
CLOUD = {"linux-image-cloud-amd64", "hyperv-daemons"}
HYPERV = {
    **dict.fromkeys(("focal", "jammy", "noble", "resolute"), VIRTUAL),
    **dict.fromkeys(("bullseye", "bookworm", "trixie"), CLOUD),
}


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_what_a_guest_of_hyperv_needs(release):
    assert set(release.hyperv) == HYPERV[release.codename]


# xrdp, and whether it keeps sessions apart; systemd, which has PrivateIPC= from 248 on; whether the
# archive has libpam-net; PAM, whose pam_namespace knows nosuid and nodev from 1.4 on.
WALLS = {
    "focal": ("0.9.12", False, 245, False, "1.3.1"),
    "jammy": ("0.9.17", False, 249, True, "1.4.0"),
    "noble": ("0.9.24", False, 255, True, "1.5.3"),
    "resolute": ("0.10.1", True, 259, True, "1.7.0"),
    "bullseye": ("0.9.21", False, 247, True, "1.4.0"),
    "bookworm": ("0.9.21", False, 252, True, "1.5.2"),
    "trixie": ("0.10.1", True, 257, True, "1.7.0"),
}


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_what_keeps_sessions_apart(release):
    *xrdp, systemd, pam_net, pam = WALLS[release.codename]
    has = (systemd >= 248, pam_net, pam >= "1.4")
    assert release.xrdp == Xrdp(*xrdp, *has)


# The version of passwd's programs. 4.8 ends with 16 where it is told to give out no ids.
SHADOW = {
    **dict.fromkeys(("focal", "jammy", "bullseye"), (4, 8)),
    **dict.fromkeys(("noble", "bookworm"), (4, 13)),
    **dict.fromkeys(("resolute", "trixie"), (4, 17)),
}


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_whether_everybody_gets_subordinate_ids(release):
    assert release.subids == (SHADOW[release.codename] < (4, 9))


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_whether_logins_are_written_to_utmp(release):
    assert release.utmp == (WALLS[release.codename][2] < 257)


OPENSSH = {
    **{"focal": (8, 2), "jammy": (8, 9), "noble": (9, 6), "resolute": (10, 2)},
    **{"bullseye": (8, 4), "bookworm": (9, 2), "trixie": (10, 0)},
}


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_whether_sshd_knows_how_short_a_key_may_be(release):
    assert release.rsa_size == (OPENSSH[release.codename] >= (9, 1))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2])
def test_the_names_of_a_row(row):
    distribution, version, codename, _ = row
    for name in (f"{distribution} {version}", version, codename, codename.upper()):
        assert named(name).codename == codename


UNKNOWN = [
    ({}, "this is unknown;"),
    ({"ID": "debian"}, "this is debian;"),  # testing has no VERSION_ID
    ({"ID": "ubuntu", "VERSION_ID": "25.10"}, "this is ubuntu 25.10;"),
    ({"ID": "linuxmint", "VERSION_ID": "22"}, "this is linuxmint 22;"),
    ({"ID": "fedora", "VERSION_ID": "12"}, "this is fedora 12;"),
]


@pytest.mark.parametrize(("os_release", "what"), UNKNOWN)
def test_another_release_is_refused(os_release, what):
    with pytest.raises(Refused, match=what) as refused:
        of_host(os_release)
    assert "wanted one of ubuntu 20.04, " in str(refused.value)
    assert "releases.py" in refused.value.hint


@pytest.mark.parametrize("name", ["", "ubuntu", "debian", "sid", "1", "ubuntu  24.04"])
def test_a_name_that_is_none(name):
    with pytest.raises(Refused):
        named(name)


# Whose archive has python3-pyqt6.qtwebengine, and whose kernel lets programs with a profile alone
# make user namespaces.
ENGINES = {
    "focal": (5, False),
    "jammy": (5, False),
    "noble": (6, True),
    "resolute": (6, True),
    "bullseye": (5, False),
    "bookworm": (6, False),
    "trixie": (6, False),
}


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_what_a_window_on_a_page_is_made_of(release):
    version, asks = ENGINES[release.codename]
    assert release.qt == f"python3-pyqt{version}.qtwebengine"
    assert release.asks_for_userns == asks
