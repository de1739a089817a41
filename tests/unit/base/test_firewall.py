"""The packet filter's rules as each backend declares them, and the packages that are held."""

import re

import pytest

from backend_server.base.component.firewall import firewall, inbound, rules
from backend_server.base.inbound import Inbound
from backend_server.base.nft import NftTable
from backend_server.checkout.gather import gather
from backend_server.checkout.service import Service
from backend_server.desktop import component
from backend_server.docker.component import HELD, docker
from backend_server.docker.daemon import DaemonJson
from backend_server.host import listening
from backend_server.host.reader import HostReader
from backend_server.resources import Held, Packages, UnitFile
from backend_server.text import networks
from backend_server.text.errors import Refused
from backend_server.text.parsers import parse_hosts
from backend_server.text.releases import RELEASES, named
from tests.unit.example import BACKENDS, ROOT, TODAY, checkout_of, site_of


ACCEPT = re.compile(r"(ip6?) daddr \. tcp dport \{ (.*) \} accept")


@pytest.fixture
def site(tmp_path):
    return site_of("test", "debian 12", tmp_path / "checkout")


SERVICES = "from_services"


def chain(text, name):
    """The lines of a chain."""
    found = re.search(rf"^    chain {name} \{{\n(.*?)^    \}}", text, re.M | re.S)
    return [line.strip() for line in found.group(1).splitlines()]


def accepted(text, name):
    return [m.groups() for m in map(ACCEPT.fullmatch, chain(text, name)) if m]


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_backend(backend, tmp_path):
    site = site_of(backend, "ubuntu 24.04", tmp_path / "checkout")
    text = rules(site)
    at = [each.rpartition(":") for each in site.backend.database]
    wanted = [f"ip daddr {where} tcp dport {port} accept" for where, _, port in at]
    assert chain(text, "from_database_network") == [*wanted, "goto refuse"]
    # Every endpoint at its pinned address, each once; those of these three are at one.
    pinned = parse_hosts(site.hosts)
    ends = [each.rpartition(":") for each in site.backend.reaches]
    places = sorted({(pinned[name], int(port)) for name, _, port in ends})
    listed = ", ".join(f"{address} . {port}" for address, port in places)
    assert accepted(text, SERVICES) == [("ip", listed)]
    if backend in ("emis", "test", "tpp"):
        assert listed == "157.245.31.108 . 443"
    for name in ("refuse", "answers", "from_database_network", "from_services"):
        last = chain(text, name)[-1]
        assert last.startswith("reject" if name == "refuse" else "goto refuse")


def test_the_table_is_replaced_in_one_step(site):
    table = f"table inet {networks.TABLE}"
    lines = [line for line in rules(site).splitlines() if line.startswith(("t", "d"))]
    assert lines == [table, f"delete {table}", f"{table} {{"]


def test_several_places_of_both_kinds(site):
    hosts = "192.0.2.9 one\n2001:db8::9 two\n"
    endpoints = ("two:443", "one:8443", "one:443", "one:443")
    backend = site.backend._replace(
        endpoints=endpoints,
        database=("192.0.2.31:1433", "192.0.2.30:1433"),
    )
    text = rules(site._replace(backend=backend, hosts=hosts, services=()))
    assert accepted(text, "from_services") == [
        ("ip", "192.0.2.9 . 443, 192.0.2.9 . 8443"),
        ("ip6", "2001:db8::9 . 443"),
    ]
    assert chain(text, "from_database_network") == [
        "ip daddr 192.0.2.31 tcp dport 1433 accept",
        "ip daddr 192.0.2.30 tcp dport 1433 accept",
        "goto refuse",
    ]


def test_a_service_with_a_network_to_itself(site):
    """It reaches its route; those it is open to reach it, and of accounts here nobody."""
    what = Service("x", "", "", 1, 1, route=("one:443",), publish="0.0.0.0:443:8000")
    site = site._replace(hosts=site.hosts + "192.0.2.9 one\n")
    given = (what, what._replace(name="y", route=(), open_to=("192.0.2.0/24",)))
    text = rules(site._replace(services=(*site.services, *given)))
    assert chain(text, "forward")[-7:] == [
        'iifname "os-x" ip daddr . tcp dport { 192.0.2.9 . 443 } accept',
        'iifname "os-x" goto answers',
        'oifname "os-x" goto answers',
        'iifname "os-y" goto answers',
        'oifname "os-y" ip saddr 192.0.2.0/24 tcp dport { 8000 } accept',
        'oifname "os-y" goto answers',
        'iifname "docker0" goto from_services',
    ]
    assert 'iifname "os-x" goto answers' in chain(text, "input")
    assert chain(text, "output").index('oifname "os-x" meta skuid != 0 goto refuse')
    relay = "meta skuid != 61184-65519 jump not_for_people"
    assert f'oifname "lo" tcp dport 443 {relay}' in chain(text, "output")


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_others_reach(backend, tmp_path):
    """sshd wherever it is; the desktop where there is one, and what the provider listens with."""
    site = site_of(backend, "ubuntu 24.04", tmp_path / "checkout")
    doors = [line for line in chain(inbound(site), "from_outside") if "dport {" in line]
    at = site.backend.rdp_address
    to = "" if at in ("", "0.0.0.0", "::") else f"ip{'6' * (':' in at)} daddr {at} "
    desktop = [f"{to}tcp dport {{ 3389 }} accept"] * bool(at)
    theirs = map(networks.door, site.backend.listens)
    assert doors == ["tcp dport { port:ssh } accept", *desktop, *theirs]
    assert chain(inbound(site), "from_outside")[-1] == "goto refuse"


def test_a_desktop_at_one_address(site):
    for address, kind in (("192.0.2.7", "ip"), ("2001:db8::7", "ip6")):
        there = site._replace(backend=site.backend._replace(rdp_address=address))
        assert f"{kind} daddr {address} tcp dport {{ 3389 }} accept" in inbound(there)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("9100/tcp", "tcp dport { 9100 } accept"),
        ("161/udp", "udp dport { 161 } accept"),
        ("1/tcp from 192.0.2.9", "ip saddr 192.0.2.9/32 tcp dport { 1 } accept"),
        (
            "65535/udp from 192.0.2.0/24",
            "ip saddr 192.0.2.0/24 udp dport { 65535 } accept",
        ),
        ("2/tcp from 2001:db8::/32", "ip6 saddr 2001:db8::/32 tcp dport { 2 } accept"),
        ("3/tcp from 2001:db8::1", "ip6 saddr 2001:db8::1/128 tcp dport { 3 } accept"),
    ],
)
def test_a_door(site, text, rule):
    assert networks.door(text) == rule
    open_too = site._replace(backend=site.backend._replace(listens=(text,)))
    assert rule in chain(inbound(open_too), "from_outside")


@pytest.mark.parametrize(
    "text",
    [
        *("", "9100", "tcp", "9100/", "9100/sctp", "0/tcp", "65536/tcp", "-1/tcp"),
        *("09/tcp", "١٤/tcp", "9100/tcp ", " 9100/tcp", "9100/tcp\n", "1-2/tcp"),
        *("9100/tcp from", "9100/tcp from ", "9100/tcp from monitor.example"),
        *("9100/tcp from 192.0.2", "9100/tcp from 192.0.2.0/33", "9/tcp from ::/129"),
        *("9/tcp from 192.0.2.0/24 } accept", "9/tcp from 192.0.2.0/", "9/tcp from :"),
    ],
)
def test_no_door(text, tmp_path):
    assert networks.door(text) is None
    site = site_of("test", "debian 12", tmp_path / "other")
    checkout = checkout_of("test", tmp_path / "checkout")
    bad = site.backend._replace(listens=(text,))
    with pytest.raises(Refused, match="listens") as raised:
        gather(bad, named("debian 12"), checkout, TODAY)
    assert "wanted PORT/tcp or PORT/udp, such as 9100/tcp from" in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        *("", "192.0.2.30", "192.0.2.30:", ":1433", "192.0.2.30:0", "192.0.2.30:65536"),
        *("192.0.2.30:-1", "192.0.2.30:١٤", "192.0.2:1433", "192.0.2.256:1433"),
        *(
            "database:1433",
            "[2001:db8::1]:1433",
            "2001:db8::1:1433",
        ),
        *("192.0.2.0/7:1433", "192.0.2.0/33:1433", "192.0.2.0/:1433", "/24:1433"),
        *("192.0.2.30:1433-", "192.0.2.30:1433-1432", "192.0.2.30:1433-65536"),
        *("192.0.2.30:1433-1434-1435", "192.0.2.30/24/24:1", "192.0.2.0-192.0.2.9:1"),
        *("192.0.2.30:1433 ", " 192.0.2.30:1433", "192.0.2.30:14\n", "ü:1"),
    ],
)
def test_no_place(text):
    assert networks.place(text) is None


# What stands in backend.py, its rule, whether it is one place, what it holds and what not.
PLACES = [
    (
        *("192.0.2.30:1433", "ip daddr 192.0.2.30 tcp dport 1433 accept", True),
        *([("192.0.2.30", 1433)], [("192.0.2.30", 1434), ("192.0.2.31", 1433)]),
    ),
    (
        *("192.0.2.32/28:1433", "ip daddr 192.0.2.32/28 tcp dport 1433 accept", False),
        *([("192.0.2.32", 1433), ("192.0.2.47", 1433)], [("192.0.2.48", 1433)]),
    ),
    (
        *("192.0.2.30:1433-1440", "ip daddr 192.0.2.30 tcp dport 1433-1440 accept"),
        *(False, [("192.0.2.30", 1433), ("192.0.2.30", 1440)], [("192.0.2.30", 1441)]),
    ),
]


@pytest.mark.parametrize(("text", "rule", "exact", "held", "apart"), PLACES)
def test_a_place(text, rule, exact, held, apart):
    found = networks.place(text)
    assert (found.rule, found.exact) == (rule, exact)
    assert [found.holds(*each) for each in held] == [True] * len(held)
    assert [found.holds(*each) for each in apart] == [False] * len(apart)


def test_mistakes_in_the_database_are_listed_with_all_others(tmp_path):
    checkout = checkout_of("test", tmp_path / "checkout")
    (checkout / "packages/core.txt").write_text("_\n")
    site = site_of("test", "debian 12", tmp_path / "other")
    bad = site.backend._replace(database=("db.example:1433", "192.0.2.30:1433"))
    with pytest.raises(Exception, match="packages/core.txt:1") as raised:
        gather(bad, named("debian 12"), checkout, TODAY)
    assert "test/backend.py: database 'db.example:1433': wanted" in str(raised.value)
    assert str(raised.value).count("database") == 1


def test_telemetry_has_its_way_where_it_is_declared(site):
    hosts = "192.0.2.9 collector.opensafely.org\n192.0.2.8 one\n"
    url = "https://collector.opensafely.org"
    for telemetry, more in (("", ""), (url, ", 192.0.2.9 . 443")):
        backend = site.backend._replace(endpoints=("one:443",), telemetry=telemetry)
        this = site._replace(backend=backend, hosts=hosts, services=())
        found = accepted(rules(this), SERVICES)
        assert found == [("ip", f"192.0.2.8 . 443{more}")]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"telemetry": "http://collector.opensafely.org"}, "wanted https://NAME"),
        ({"telemetry": "https://collector.opensafely.org/v1"}, "wanted https://NAME"),
        (
            {"telemetry": "https://elsewhere.example"},
            "elsewhere.example has no line in",
        ),
        ({"archives": "/srv/archive"}, "wanted a folder below /srv/high_privacy"),
        ({"archives": "/srv/high_privacy/../x"}, "wanted a folder below"),
        ({"archives_disk": "/srv/high_privacy/my-disk"}, "wanted a folder below"),
        ({"archives_disk": "/srv/high_privacy/arch"}, "not on archives_disk"),
    ],
)
def test_mistakes_in_what_the_agent_is_given(tmp_path, wrong, why):
    checkout = checkout_of("test", tmp_path / "checkout")
    site = site_of("test", "debian 12", tmp_path / "other")
    with pytest.raises(Exception, match="test/backend.py: ") as raised:
        gather(site.backend._replace(**wrong), named("debian 12"), checkout, TODAY)
    assert why in str(raised.value)


def test_docker_waits_for_the_rules(site):
    parts = list(firewall(site))
    units = {part.path: part for part in parts if type(part) is UnitFile}
    unit = units["/etc/systemd/system/opensafely-firewall.service"]
    drop_in = units["/etc/systemd/system/docker.service.d/opensafely.conf"]
    (table,) = [part for part in parts if type(part) is NftTable]
    settings = dict(
        line.split("=", 1) for line in unit.text.splitlines() if "=" in line
    )
    for name in ("docker.service", "xrdp.service"):
        assert name in settings["Before"].split()
        assert name in settings["RequiredBy"].split()
    # With the usual dependencies it would wait for what a cloud starts after the network.
    assert "network-pre.target" in settings["Before"].split()
    assert settings["DefaultDependencies"] == "no"
    assert f"nft --file {table.path}\n" in unit.text
    # Whoever flushed them since: each start of docker loads them.
    assert f"ExecStartPre=/usr/sbin/nft --file {table.path}\n" in drop_in.text
    # What stops or restarts it would stop docker too.
    assert "RefuseManualStop=yes" in unit.text
    assert not re.search("ExecStop|PartOf|BindsTo", unit.text)


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_docker_of_a_release(release, tmp_path):
    site = site_of("test", release.name, tmp_path / "checkout")
    parts = list(docker(site, frozenset({"jobrunner"})))
    kinds = [type(part) for part in parts]
    (packages,) = [part for part in parts if type(part) is Packages]
    assert packages.names == {*release.docker}
    assert packages.names - HELD == {"apparmor"}
    assert "docker.io" in packages.names
    # It is there before the package starts docker for the first time.
    assert kinds.index(DaemonJson) < kinds.index(Packages) < kinds.index(Held)


# ---- what unattended-upgrades and needrestart go by


def test_the_blacklist_is_what_is_held():
    """Patterns are matched from the name's beginning, as re.match does."""
    text = (ROOT / "etc/apt/apt.conf.d/zz-opensafely").read_text()
    patterns = re.findall(r'^\S+::Package-Blacklist:: "([^"]+)";', text, re.MULTILINE)
    held = HELD | component.HELD
    assert len(patterns) == len(held)
    for name in held:
        assert sum(bool(re.match(p, name)) for p in patterns) == 1, name
    others = (
        "docker-compose docker-registry docker2aci containerdx runcircos-gui dockerxio"
    )
    for name in others.split():
        assert not any(re.match(p, name) for p in patterns), name


def test_needrestart_skips_what_runs_containers_and_desktops():
    """That it goes by these is tried in tests/hosts/docker/test_docker.py."""
    text = (ROOT / "etc/needrestart/conf.d/opensafely.conf").read_text()
    patterns = re.findall(r"\{qr\(([^)]+)\)\} = 0;", text)
    names = ["docker", "containerd", "opensafely-jobrunner", "xrdp", "xrdp-sesman"]
    for name in names:
        assert any(re.search(p, f"{name}.service") for p in patterns)
    for name in ("ssh", "cron", "my-docker"):
        assert not any(re.search(p, f"{name}.service") for p in patterns)


# Of ss(8), where two programs that have one socket call themselves `\\ntcp  x:1 y:*`.
LISTENERS = """\
udp UNCONN 0      0            *:6124       *:* users:(("python3",pid=7,fd=4))
tcp LISTEN 0      128    0.0.0.0:6123 0.0.0.0:* users:(("
tcp  x:1 y:*",pid=8,fd=3),("
tcp  x:1 y:*",pid=7,fd=3))
tcp LISTEN 0      128 127.0.0.1:6125 0.0.0.0:* users:(("sh",pid=9,fd=3))
tcp LISTEN 0      128    0.0.0.0:2024 0.0.0.0:*
"""


def test_a_program_lists_no_other_by_what_it_calls_itself(monkeypatch, tmp_path):
    monkeypatch.setattr(HostReader, "listeners", lambda self: LISTENERS)
    monkeypatch.setattr(listening, "tcp_listeners", lambda: [])
    noun = Inbound("/inbound.nft", "tcp dport { port:ssh } accept")
    found = {change.field: change for change in noun.check(HostReader(tmp_path))}
    ports = {line.partition(":")[0] for line in found["undeclared"].before}
    assert ports == {"6124/udp", "6123/tcp", "2024/tcp"}
