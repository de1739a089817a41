"""What each version of xrdp makes of the two files that it is given."""

from configparser import ConfigParser
from pathlib import Path

import pytest

from backend_server.desktop import xrdp
from backend_server.text.parsers import parse_assignments
from backend_server.text.releases import RELEASES
from backend_server.text.roles import REVIEWERS
from tests.unit.example import site_of


# Version; where sesman listens; whether a word restricts the clipboard there. Up to 0.9.17 it is
# a yes or no, so `all`, which newer ones document, would be no. Newer ones know `true`, not `1`.
YES, WORDS = ("1", "true", "yes"), ("all", "true", "yes")
TCP, SOCKET = ("127.0.0.1", "335"), (None, "/run/opensafely-sesman/sesman.socket")
ROWS = {
    "0.9.12": (TCP, YES),
    "0.9.17": (TCP, YES),
    "0.9.21": (TCP, WORDS),
    "0.9.24": (TCP, WORDS),
    "0.10.1": (SOCKET, WORDS),
}
VERSIONS = pytest.mark.parametrize(
    "release",
    {release.xrdp.version: release for release in RELEASES}.values(),
    ids=lambda release: release.xrdp.version,
)
CHANNELS = {"rdpdr", "rdpsnd", "drdynvc", "cliprdr", "rail", "xrdpvr", "tcutils"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return site_of("emis", "24.04", tmp_path_factory.mktemp("checkout"))


def parsed(text):
    """As xrdp reads it: names in any case, the first of two lines counts."""
    parser = ConfigParser(interpolation=None, strict=False)
    parser.read_string(text)
    return parser


def test_every_release_has_a_version_that_is_known():
    assert {release.xrdp.version for release in RELEASES} == set(ROWS)


def test_one_kind_of_session_no_channel_and_tls_alone(site):
    ini = parsed(xrdp.ini(site, "192.0.2.7"))
    assert ini.sections() == ["Globals", "Logging", "Channels", "Xorg"]
    assert {*ini["Channels"]} == CHANNELS
    assert {*ini["Channels"].values()} == {"false"}
    # `channel.NAME=true` in a session's section would count instead.
    assert not [name for name in ini["Xorg"] if name.startswith("channel.")]
    found = ini["Globals"]
    assert found["port"] == "tcp://192.0.2.7:3389"
    assert (found["use_vsock"], found["security_layer"]) == ("false", "tls")
    assert found["ssl_protocols"] == "TLSv1.2, TLSv1.3"
    assert found["autorun"] == "Xorg"
    # Nobody is let in as somebody else, nor to another place: both are asked, and are fixed.
    session = ini["Xorg"]
    assert (session["username"], session["password"]) == ("ask", "ask")
    assert (session["lib"], session["ip"], session["port"]) == (
        "libxup.so",
        "127.0.0.1",
        "-1",
    )


@VERSIONS
def test_sesman_of_a_version(site, release):
    listens, restricts = ROWS[release.xrdp.version]
    text = xrdp.sesman(site._replace(release=release))
    ini = parsed(text)
    found = ini["Globals"]
    assert (found.get("ListenAddress"), found["ListenPort"]) == listens
    assert found["DefaultWindowManager"].startswith("/")
    assert found["EnableUserWindowManager"] == "false"
    security = ini["Security"]
    for way in ("Outbound", "Inbound"):
        assert security[f"Restrict{way}Clipboard"] in restricts
    assert security["TerminalServerUsers"] == REVIEWERS
    assert security["AlwaysGroupCheck"] == "true"
    assert security["AllowRootLogin"] == security["AllowAlternateShell"] == "false"
    if listens == TCP:
        assert int(found["ListenPort"]) < 1024, "a port that root alone can have"
    assert ini["Chansrv"]["EnableFuseMount"] == "false"
    params = [line for line in text.splitlines() if "param=" in line]
    assert params.index("param=-nolisten") + 1 == params.index("param=tcp")
    # Programs ask for the abstract name first: X itself has to have it.
    assert params.count("param=-nolisten") == 1


def test_its_port_and_sesmans_are_roots_after_a_boot_too():
    """The file says what the running kernel is told; which release has sesman on a port: ROWS."""
    etc = Path(__file__).parents[3] / "etc/sysctl.d/zz-opensafely-desktop.conf"
    ((name, first),) = parse_assignments(etc.read_text()).items()
    assert name.strip() == "net.ipv4.ip_unprivileged_port_start"
    assert int(first) == xrdp.PORT + 1
    assert all(
        int(port) < xrdp.PORT for (_, port), _ in ROWS.values() if port.isdigit()
    )
