"""What must hold for the nouns that need systemd and apt, on one booted host.

All other nouns have their samples in tests/contract/test_contract.py.
"""

import inspect
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from backend_server.access.set_user_id import SetUserId
from backend_server.access.sshd_config import SshdConfig
from backend_server.access.sudoers import Sudoers
from backend_server.base.inbound import Inbound
from backend_server.base.nft import NftTable
from backend_server.checkout.service import AIRLOCKS
from backend_server.desktop.certificate import OwnCertificate
from backend_server.desktop.remote import RemoteDesktop
from backend_server.desktop.roots_socket import RootsSocket
from backend_server.docker.daemon import DaemonJson, DockerSocket
from backend_server.docker.network import DockerNetwork, DockerRules
from backend_server.engine.resource import Resource
from backend_server.outputs.mount import Automount
from backend_server.people.leavers import Leavers, LostRoles
from backend_server.resources import (
    Held,
    Masked,
    NoPackages,
    Packages,
    PamProfile,
    Unit,
    UnitFile,
)
from backend_server.resources.package import PackageLists
from backend_server.run.place import load, services_of
from backend_server.services.component import confined, image
from backend_server.services.container_service import ContainerService
from backend_server.storage.component import MEDIUM_TREE, PLACES
from backend_server.storage.nosuid import NoSuid
from backend_server.text.roles import MARKER, UNPRIVILEGED
from sandbox.command import CommandFailed
from tests.contract import nouns as nouns_of_the_tool
from tests.contract.nouns import nouns
from tests.contract.test_contract import ON_BOOTED_HOSTS


# Runs on the host, with the repr of a resource as its argument.
ON_PATH = 'import sys\nsys.path.insert(0, "/srv/backend-server")\n'
SCRIPT = f"{ON_PATH}{inspect.getsource(nouns_of_the_tool)}"
SCRIPT += """
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host

LOOKS = [
    *(("systemctl", "show"), ("systemctl", "list-units"), ("systemctl", "is-enabled")),
    *(("apt-get", "--simulate"),),
    *(("sshd", "-t"), ("visudo", "-c"), ("sudo", "-l")),
    *(("apt-cache", "policy"), ("nft", "-n"), ("docker", "ps"), ("iptables-save",), ("ss", "-H")),
]
resource, reader, host = eval(sys.argv[1], nouns()), HostReader(), Host()
changes = resource.check(reader)
assert changes, "it differs, and that is no error"
assert resource.check(host) == changes
for argv in reader.programs:
    assert argv[:2] in LOOKS, argv
assert {c.field for c in changes} <= {*resource._fields}
if sys.argv[2:] == ["look"]:
    sys.exit()
resource.apply(host, changes)
left = resource.check(host)
assert left == (), left
left = resource.check(HostReader())
assert left == (), left
"""

# What a look may not touch. A docker that a sample before restarted still writes its own state.
SNAPSHOT = """\
find /etc /usr /var/lib /var/cache /home /root -xdev \\
    \\( -path /var/lib/containerd -o -path /var/lib/docker \\) -prune -o \\
    -printf '%p %i %m %U %s %T@ %C@\\n' | sort
"""

LINE = "session optional pam_umask.so umask=077"
PROFILE = """\
Name: contract
Default: yes
Priority: 0
Session-Type: Additional
Session:
\toptional\tpam_umask.so umask=077
"""
SERVICE = """\
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
[Install]
WantedBy=multi-user.target
"""
LEAVERS = Leavers(MARKER, frozenset({"ada", "grace", "gus", "rita"}))
LEAVE = (
    f"useradd -mG {MARKER},mail linus; "
    "setsid runuser -u linus -- sleep 600 >/dev/null 2>&1 &"
)
LOSE = "install -d /run/opensafely/lost; echo mail >/run/opensafely/lost/linus"
NOSUID = NoSuid("opensafely-nosuid.service", places=PLACES, inert=(MEDIUM_TREE,))
UNIT = "contract.service"
UNIT_PATH = f"/etc/systemd/system/{UNIT}"
MAKE_UNIT = f"cat >{UNIT_PATH}; systemctl daemon-reload"
SOCKET = "/run/contract.socket"
OPEN_SOCKET = f"""\
systemctl stop {UNIT}; cat >{UNIT_PATH}
cat >/etc/systemd/system/contract.socket <<END
[Socket]
ListenStream={SOCKET}
SocketMode=0600
END
systemctl daemon-reload; systemctl start contract.socket; systemctl start {UNIT}; chmod 666 {SOCKET}
"""
PEND = (
    "mkdir -p /var/lib/opensafely/pending; echo $(cat /proc/sys/kernel/random/boot_id) "
    f"now File /x >/var/lib/opensafely/pending/{UNIT}"
)


AUTOMOUNT = "contract.automount"
MAKE_AUTOMOUNT = (
    "cd /etc/systemd/system; "
    r"printf '[Mount]\nWhat=none\nWhere=/contract\nType=tmpfs\n' >contract.mount; "
    r"printf '[Automount]\nWhere=/contract\n[Install]\nWantedBy=multi-user.target\n' "
    f">{AUTOMOUNT}; systemctl daemon-reload"
)

RULE = "/etc/sudoers.d/zz-contract"
DROP_IN = "/etc/ssh/sshd_config.d/00-opensafely.conf"
# Enough for the login by which a change proves itself.
LETS_IN = """\
UsePAM yes
Match Group opensafely-canary
    AuthorizedKeysFile /etc/ssh/opensafely_keys/%u
"""

TABLE = """\
table inet contract
delete table inet contract
table inet contract {
    chain some {
        ip daddr . tcp dport { 192.0.2.1 . 80, 192.0.2.2 . 443 } accept
    }
}
"""
OWN_CERTIFICATE = OwnCertificate("/etc/contract.crt", "/etc/contract.key", "mail")
SHUT = """\
table inet shut
delete table inet shut
table inet shut {
    set people { type uid; flags interval; }
    chain out { type filter hook output priority 0; meta skuid @people reject; }
}
add element inet shut people { uid:quentin }
add element inet shut people { uid:nobody-yet }
add element inet shut people { uid:@mail }
"""
SHUT_PROGRAMS = SetUserId(UNPRIVILEGED, frozenset({"/usr/bin/passwd"}))
WITH_UID = NftTable("shut", "/etc/shut.nft", SHUT, but=frozenset({"linus"}))
NFT = NftTable("contract", "/etc/contract.nft", TABLE)
ENTRY = """\
table inet contract {
    chain others {
        tcp dport { port:ssh } accept
    }
}
"""
INBOUND = Inbound("/etc/inbound.nft", ENTRY)
NETWORK = DockerNetwork("contract", bridge="contract")
NEW_NETWORK = "docker network rm contract; docker network create contract"
DAEMON = DaemonJson("/etc/docker/daemon.json", '{"live-restore": true, "icc": false}')
DOCKER = frozenset({"docker.io", "docker-cli", "docker-ce", "runc"})


# The image is the one that the host runs already, chosen by hand.
CHOSEN = (
    "digest=$(sed -n 's/^IMAGE=.*@//p' /etc/opensafely/services/jobrunner); "
    'printf \'{"service": "jobrunner", "digest": "%s", "instead_of": "", '
    '"who": "ada", "when": "now"}\\n\' $digest >/etc/opensafely/images.lock; '
)
DOCKER_RULES = DockerRules("docker.service", frozenset({"jobrunner", "airlock"}))
BACKEND = load("test", Path(__file__).parents[2])
(JOBRUNNER, _) = services_of(BACKEND)
SERVICE_OF_OURS = ContainerService(
    JOBRUNNER.name,
    image=image(BACKEND, JOBRUNNER),
    locked="",
    confined=confined(JOBRUNNER),
    mounts=frozenset(JOBRUNNER.mounts),
    secrets=JOBRUNNER.secrets,
    others=JOBRUNNER.others,
    docker=True,
    steady_s=1,
)


@dataclass(frozen=True)
class Sample:
    """A resource that differs on a host where GIVEN, as a shell line, was done before."""

    given: str
    resource: Resource


# In this order: each finds what the one before left.
SAMPLES = [
    # apt renews its own cache when it is asked for the first time after a change of holds.
    Sample("apt-get check -qq", Packages("a.txt", frozenset({"hello", "less"}))),
    Sample("", NoPackages("b.txt", frozenset({"hello"}))),
    Sample(
        "apt-get install -qq -y nano && apt-get remove -qq -y nano",
        NoPackages("b.txt", frozenset({"nano"})),
    ),
    Sample("rm -r /var/lib/apt/lists/*", PackageLists("apt")),
    Sample("", PamProfile("contract", PROFILE, line=LINE)),
    Sample(
        "sed -i 's/umask=077/umask=000/' /usr/share/pam-configs/contract",
        PamProfile("contract", PROFILE, line=LINE),
    ),
    Sample(MAKE_UNIT, Unit(UNIT)),
    Sample(f"systemctl stop {UNIT}", Unit(UNIT)),
    Sample(f"systemctl disable {UNIT}", Unit(UNIT)),
    Sample(f"systemctl disable {UNIT}; systemctl enable --runtime {UNIT}", Unit(UNIT)),
    Sample(PEND, Unit(UNIT)),
    Sample(PEND, Unit(UNIT, enabled=None, running=None, on_change="try-restart")),
    Sample(f"rm {UNIT_PATH}; systemctl daemon-reload", UnitFile(UNIT_PATH, SERVICE)),
    Sample(f"echo >>{UNIT_PATH}", UnitFile(UNIT_PATH, SERVICE, notify=(UNIT,))),
    Sample(PEND.replace(UNIT, f"daemon-reload.{UNIT}"), UnitFile(UNIT_PATH, SERVICE)),
    Sample("", Masked("contract-other.service")),
    Sample("systemctl start cron", Masked("cron.service")),
    Sample(f"{MAKE_UNIT}; systemctl disable {UNIT}", RemoteDesktop(UNIT)),
    Sample(PEND, RemoteDesktop(UNIT)),
    Sample(OPEN_SOCKET, RootsSocket(SOCKET, "contract.socket", UNIT)),
    Sample("", OWN_CERTIFICATE),
    Sample("chgrp root /etc/contract.key; rm /etc/contract.crt", OWN_CERTIFICATE),
    Sample("chmod 644 /etc/contract.key", OWN_CERTIFICATE),
    Sample("useradd quentin", WITH_UID),
    Sample("usermod -u 4711 quentin", WITH_UID),
    Sample("useradd -G mail wendy", WITH_UID),
    Sample(MAKE_AUTOMOUNT, Automount(AUTOMOUNT)),
    Sample("", Sudoers(RULE, "Defaults use_pty\n")),
    Sample(f"echo '# theirs' >>{RULE}", Sudoers(RULE, "Defaults use_pty\n")),
    Sample(f"chmod 600 {RULE}", Sudoers(RULE, "Defaults use_pty\n")),
    Sample("chgrp root /usr/bin/chsh; chmod 4755 /usr/bin/chsh", SHUT_PROGRAMS),
    Sample("chmod 4715 /usr/bin/su", SHUT_PROGRAMS),
    Sample("install -m 4755 /bin/true /usr/libexec/contract", SHUT_PROGRAMS),
    Sample("", SshdConfig(DROP_IN, LETS_IN)),
    Sample(f"rm {DROP_IN}", SshdConfig(DROP_IN, LETS_IN)),
    Sample(f"chmod 666 {DROP_IN}", SshdConfig(DROP_IN, LETS_IN)),
    Sample(LEAVE, LEAVERS),
    Sample("chage -E 2999-12-31 linus; usermod -p '*' linus", LEAVERS),
    Sample(LOSE, LostRoles(MARKER, frozenset({"linus"}))),
    Sample("umount /home", NOSUID),
    Sample("mount -o remount,bind,suid,dev /home", NOSUID),
    Sample("mount -o remount,bind,exec /srv/medium_privacy", NOSUID),
    Sample("mount -t tmpfs none /home/linus", NOSUID),
    Sample("", NFT),
    Sample("nft flush ruleset", NFT),
    Sample("nft insert rule inet contract some accept", NFT),
    Sample("nft flush chain inet contract some", NFT),
    Sample("echo '# theirs' >>/etc/contract.nft", NFT),
    Sample("rm /var/lib/opensafely/proofs/nft-contract", NFT),
    Sample("", INBOUND),
    Sample("sed -i 's/22/23/' /etc/inbound.nft", INBOUND),
    Sample("", DOCKER_RULES),
    Sample("iptables -F", DOCKER_RULES),
    Sample("", NETWORK),
    Sample(NEW_NETWORK, NETWORK),
    Sample("apt-mark unhold docker.io runc", Held("docker", DOCKER)),
    Sample("apt-mark unhold runc", Held("docker", DOCKER)),
    Sample("""echo '{"icc": true, "debug": true}' >/etc/docker/daemon.json""", DAEMON),
    Sample("rm /etc/docker/daemon.json", DAEMON),
    Sample("chmod 666 /run/docker.sock", DockerSocket("/run/docker.sock")),
    Sample("chgrp users /run/docker.sock", DockerSocket("/run/docker.sock")),
    Sample("echo '{' >/etc/docker/daemon.json", DAEMON),
    Sample(PEND.replace(UNIT, "reload.docker.service"), DAEMON),
    Sample(f"{CHOSEN} systemctl stop {JOBRUNNER.unit}", SERVICE_OF_OURS),
    Sample("rm /etc/opensafely/services/jobrunner", SERVICE_OF_OURS),
    Sample("echo CONTRACT=1 >>/etc/opensafely/env/04_local.env", SERVICE_OF_OURS),
    Sample("", Unit(UNIT, enabled=False, running=False)),
    Sample(PEND, Unit(UNIT, enabled=False, running=False)),
]


@pytest.fixture(scope="module")
def host(shared_warm_host):
    host = shared_warm_host("test")
    # Airlock is at work, on its own files: overlayfs makes a copy of one that is written first.
    host.run(f"systemctl stop 'opensafely-airlock-*.timer'; chmod u+r {AIRLOCKS}*")
    return host


def on_host(host, resource, *words):
    words = " ".join(map(shlex.quote, [repr(resource), *words]))
    return host.run(f"python3 -I -S - {words}", stdin=SCRIPT)


def test_every_noun_has_a_sample():
    assert {type(sample.resource).__name__ for sample in SAMPLES} == ON_BOOTED_HOSTS
    assert nouns().keys() >= ON_BOOTED_HOSTS


@pytest.mark.parametrize(
    "sample", SAMPLES, ids=[f"{n}-{s.resource}" for n, s in enumerate(SAMPLES)]
)
def test_contract(sample, host):
    host.run(sample.given or "true", stdin=SERVICE)
    before = host.run(SNAPSHOT).stdout
    on_host(host, sample.resource, "look")
    after = host.run(SNAPSHOT).stdout
    differing = set(before.splitlines()) ^ set(after.splitlines())
    # SQLite's own log, and its index, are touched by whoever reads; packages are the cache's,
    # and get another link with each host that boots.
    known = re.compile(
        r"__pycache__|/airlock/db\.sqlite3-(wal|shm) |/airlock \d|/apt/archives/"
    )
    assert {line for line in differing if not known.search(line)} == set()
    on_host(host, sample.resource)

    again = eval(repr(sample.resource))
    assert (again, hash(again)) == (sample.resource, hash(sample.resource))
    assert sample.resource.owns()


def test_a_unit_is_restarted_once_for_its_mark(host):
    host.run(MAKE_UNIT, stdin=SERVICE)
    host.run(f"systemctl enable --now {UNIT}; {PEND}")
    started = "systemctl show --property=ActiveEnterTimestampMonotonic " + UNIT
    before = host.run(started).stdout
    on_host(host, Unit(UNIT))
    after = host.run(started).stdout
    assert after != before
    assert host.run(f"ls /var/lib/opensafely/pending/{UNIT}", check=False).returncode


STATES = f"""{ON_PATH}
from backend_server.host.reader import HostReader
quick, whole, names = HostReader(), HostReader(), frozenset(sys.argv[1:])
quick.resting_units, whole.watched_units = names - {{"missing.service"}}, names
for name in sorted(names):
    told = quick.active_state(name), quick.file_state(name)
    unit = whole.unit(name)
    assert told == (unit["ActiveState"], unit.get("UnitFileState", "")), (name, told, unit)
print(len(names), quick.programs)
"""


def test_the_short_way_to_a_units_state_is_as_the_long_one(host):
    """Of all that this host has: enabled, static, masked, by other names, in memory or not."""
    host.run(MAKE_UNIT, stdin=SERVICE)
    host.run(f"systemctl disable {UNIT}; ln -sf {UNIT} {UNIT_PATH}.alias.service")
    listed = host.run("systemctl daemon-reload; systemctl list-unit-files --plain -q")
    lines = map(str.split, listed.stdout.splitlines())
    names = [name for name, state, *_ in lines if "@." not in name]
    assert len(names) > 100
    words = " ".join([*names, "missing.service"])
    host.run(f"/usr/bin/python3 - {words}", stdin=STATES)


@pytest.mark.parametrize("name", ["python3-minimal", "libc6"])
def test_what_others_stand_on_is_not_purged(host, name):
    with pytest.raises(CommandFailed, match=f"Refused: purging {name} would "):
        on_host(host, NoPackages("b.txt", frozenset({name})), "look")
