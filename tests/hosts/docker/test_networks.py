"""What containers reach: each network tried from inside, and each refusal beside a success."""

from __future__ import annotations

import contextlib
import re

import pytest

from sandbox.command import output
from sandbox.network import INTERNET
from tests.hosts.docker.canaries import (
    address,
    inspect,
    listening_in_lab,
    listening_on,
    make_image,
    pid,
    reaches,
    settled,
    start,
)
from tests.hosts.jobs import jobbing
from tests.hosts.managing import CHECKOUT, manage, rests
from tests.hosts.programs import wait_until
from tests.hosts.releases import NEIGHBOURS


pytestmark = pytest.mark.share("job-runner")

DATABASE = "192.0.2.30"
ENDPOINT = "157.245.31.108"
SERVICES, JOBS = "172.17.0.1", "172.18.0.1"  # the host, as the two networks know it
FILE = "/etc/opensafely/firewall.nft"
UNIT = "opensafely-firewall.service"

# Tries for as long as it runs: the database, where it may, and the internet, where it may not.
KNOCKING = f"""/bin/bash -c '
while :; do
    (exec 3<>/dev/tcp/{INTERNET}/443) 2>/dev/null && echo away
    (exec 3<>/dev/tcp/{JOBS}/22) 2>/dev/null && echo host
    (exec 3<>/dev/tcp/{DATABASE}/1433) 2>/dev/null && echo database
    /bin/sleep 0.02
done'"""


class Place:
    """A host with a container on each network, and everything that they could want to reach."""

    def __init__(self, host, lab):
        self.host, self.lab = host, lab
        make_image(host)
        foreign = '    foreign=("lonely", "service", "web"),'
        at = f"{CHECKOUT}/test/backend.py"
        host.write(
            at, host.read(at).replace("    rosters=", f"{foreign}\n    rosters=")
        )
        self.canaries()

    def canaries(self):
        start(self.host, "lonely", "--network none --restart=always")
        start(self.host, "job", "--network jobrunner-db --restart=always")
        start(self.host, "other", "--network jobrunner-db --restart=always")
        start(self.host, "service", "--restart=always")
        start(self.host, "web", "-p 8088:8088 --restart=always")

    @contextlib.contextmanager
    def open(self):
        """Everything listens, and the host itself reaches all that it should."""
        job, web = address(self.host, "other"), address(self.host, "web")
        with contextlib.ExitStack() as stack:
            # The database's ports, and the internet's, answer in every lab.
            stack.enter_context(listening_in_lab(self.lab, f"{ENDPOINT}:80"))
            # Airlock has that port of 127.0.0.1.
            mine = (f"{at}:443" for at in (self.host.address, SERVICES, JOBS))
            stack.enter_context(listening_on(self.host, *mine))
            for port, inside in ((8088, "web"), (5432, "other")):
                here = listening_on(self.host, f"0.0.0.0:{port}", container=inside)
                stack.enter_context(here)
            yield self.places(job, web)

    def places(self, job, web):
        own = self.host.address
        return {
            "database": [f"tcp:{DATABASE}:1433"],
            "endpoint": [f"tcp:{ENDPOINT}:443"],
            "internet": [
                *(f"tcp:{INTERNET}:{port}" for port in (22, 53, 80, 443)),
                f"udp:{INTERNET}:53",
            ],
            "undeclared": [f"tcp:{DATABASE}:1434", f"tcp:{ENDPOINT}:80"],
            "host": [
                f"tcp:{at}:{port}" for at in (own, SERVICES, JOBS) for port in (22, 443)
            ],
            "published": [f"tcp:{at}:8088" for at in (own, SERVICES, web)],
            "job": [f"tcp:{job}:5432"],
        }

    def confined(self):
        """Every container reaches what it is for, and nothing else; now."""
        with self.open() as places:
            everything = sum(places.values(), [])
            # Nobody but the job itself gets to it, the host included.
            assert reaches(self.host, everything) == {*everything} - {*places["job"]}
            assert reaches(self.host, places["job"], "other") == {*places["job"]}
            assert reaches(self.host, everything, "job") == {*places["database"]}
            assert reaches(self.host, everything, "service") == {*places["endpoint"]}
            assert reaches(self.host, everything, "lonely") == set()
        return True


@pytest.fixture(scope="module")
def host(shared_warm_host):
    return shared_warm_host("test")


@pytest.fixture(scope="module")
def place(host, sandbox):
    return Place(host, sandbox.lab)


def mended(host):
    """The job-runner, cut off for a while, may not have asked for work again yet."""
    return manage(host).returncode in (0, 4)


def rests_again(host):
    jobbing.settled(host)
    return rests(host)


def test_after_the_first_run(place):
    before = place.lab.rejected()
    assert place.confined()
    assert rests(place.host)
    assert place.lab.rejected() == before  # nothing had to be stopped outside


def test_a_rule_edited_by_hand(place):
    """Plan shows the rule, what it opens is open until apply, and a rule taken away as well."""
    host = place.host
    host.run("nft insert rule inet opensafely forward accept")
    host.run("nft insert rule inet opensafely input accept")
    with place.open() as places:
        wide = reaches(host, sum(places.values(), []), "job")
        assert wide > {f"tcp:{JOBS}:22", f"tcp:{INTERNET}:443", *places["database"]}
    plan = manage(host, "plan")
    assert plan.returncode == 3
    assert '-forward: [{"accept": null}]' in plan.stdout
    assert mended(host)
    assert place.confined()

    host.run("nft flush chain inet opensafely from_database_network")
    assert '+from_database_network: [{"goto"' in manage(host, "plan").stdout
    assert mended(host)
    assert place.confined()
    assert rests_again(host)


def test_a_file_edited_by_hand(place):
    """It would be loaded at the next boot."""
    host = place.host
    rule = f"{DATABASE} tcp dport 143"
    host.run(f"sed -i 's/{rule}3/{rule}4/' {FILE}")
    plan = manage(host, "plan")
    assert (plan.returncode, plan.stdout.count(rule)) == (3, 2)
    assert mended(host)
    assert rests_again(host)


def test_docker_restarted_by_hand(place):
    """Jobs go on, as confined as before."""
    host = place.host
    started = "docker inspect --format '{{.State.StartedAt}} {{.State.Pid}}' job"
    before = host.run(started).stdout
    host.run("systemctl restart docker")
    settled(host)
    assert host.run(started).stdout == before
    assert place.confined()
    assert rests_again(host)


def test_all_rules_flushed_by_hand(place):
    """Everything is open, then confined by a run, and complete with docker's next start."""
    host = place.host
    host.run("nft flush ruleset")
    with place.open() as places:
        assert {f"tcp:{JOBS}:22"} <= reaches(host, places["host"], "job")
    plan = manage(host, "plan")
    assert "+ NftTable opensafely" in plan.stdout
    cut_off = "docker's own packet filter rules are gone, and containers reach nothing"
    assert cut_off in plan.stdout
    status = host.run("backend status", check=False).stdout
    for name in ("firewall", "limits"):
        assert f"the packet filter is not as /etc/opensafely/{name}.nft says" in status
    done = manage(host)
    assert done.returncode == 1
    assert cut_off in done.stdout
    assert "host maintenance" in done.stdout
    with place.open() as places:
        assert reaches(host, sum(places.values(), []), "job") == set()
        assert reaches(host, sum(places.values(), []), "service") == set()
    host.run("systemctl reset-failed docker; systemctl restart docker")
    assert place.confined()
    assert rests_again(host)


def test_a_rule_that_somebody_took_away(place):
    """Is named, with what mends it."""
    host, amiss = place.host, "degraded    the packet filter is not as "
    for name in ("", "_limits"):
        assert amiss not in host.run("backend status", check=False).stdout
        host.run(f"nft flush chain inet opensafely{name} output")
        status = host.run("backend status", check=False).stdout
        assert status.count(amiss) == 1, status
        host.run(re.search(f"{amiss}.*; try: (.*)", status)[1])
    assert place.confined()
    assert rests_again(host)


def test_all_rules_flushed_and_docker_restarted_before_any_run(place):
    """However docker is started, the rules are loaded first."""
    host = place.host
    host.run(
        "nft flush ruleset; systemctl reset-failed docker; systemctl restart docker"
    )
    assert place.confined()
    assert rests_again(host)


def test_iptables_flushed_by_hand(place):
    """Nothing is opened by it: containers are cut off, and a run says so."""
    host = place.host
    host.run("iptables -F")
    with place.open() as places:
        for name, may in (("job", "database"), ("service", "endpoint")):
            everything = sum(places.values(), [])
            assert reaches(host, everything, name) <= {*places[may]}
    plan = manage(host, "plan")
    assert plan.returncode == 1
    assert "docker's own packet filter rules are gone" in plan.stdout
    hint = plan.stdout.partition("try: ")[2].partition("\n")[0]
    done = host.run(hint, check=False)  # refused while a job would be disturbed
    assert done.returncode == 0 or "would be disturbed" in done.stderr, done.stderr
    host.run("systemctl reset-failed docker; systemctl restart docker")
    assert place.confined()
    assert rests_again(host)


def test_no_ipv6(place):
    """Containers have none; one that came by an address would not get anywhere with it."""
    host, lab, inside = place.host, place.lab, pid(place.host, "job")
    net = f"nsenter --net --target {inside}"
    assert host.run(f"{net} ip -6 addr show scope global").stdout == ""
    host.run(
        "ip addr add fd00:5::1/64 dev opensafely-db nodad && "
        f"{net} sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.eth0.disable_ipv6=0 && "
        f"{net} ip addr add fd00:5::2/64 dev eth0 nodad && "
        f"{net} ip -6 route add default via fd00:5::1 && "
        "sysctl -qw net.ipv6.conf.all.forwarding=1"
    )
    away = gateway6(host)
    lab.ip("-6", "route", "replace", "fd00:5::/64", "via", host.address6)
    places = ["tcp:fd00:5::1:22", f"tcp:{host.address6}:22", f"tcp:{away}:4444"]
    with listening_in_lab(lab, f"{away}:4444"):
        assert reaches(host, places) == {*places}
        assert reaches(host, places, "job") == set()
        host.run("nft delete table inet opensafely")
        assert reaches(host, places, "job") == {*places}
    assert mended(host)
    lab.ip("-6", "route", "del", "fd00:5::/64")
    place.canaries()
    host.run("ip addr del fd00:5::1/64 dev opensafely-db")


def gateway6(host):
    return host.address6.rpartition(":")[0] + ":1"


def test_no_name_server(place):
    """Not by docker's own resolver either: no question leaves the host."""
    host, lab = place.host, place.lab
    lab.nft(WATCH)
    try:
        resolver = ["udp:127.0.0.11:53", "tcp:127.0.0.11:53"]
        assert reaches(host, resolver[:1], "job") == set()
        host.run(
            "docker exec job /bin/bash -c 'exec 3<>/dev/tcp/example.org/80'",
            check=False,
        )
        assert asked(lab) == 0
        host.run("getent hosts example.org", check=False)
        assert asked(lab) > 0
    finally:
        lab.nft("delete table inet watch\n")


WATCH = """
table inet watch {
    counter asked { }
    chain seen {
        type filter hook prerouting priority -300; policy accept;
        iifname "br0" meta l4proto { tcp, udp } th dport 53 counter name asked
    }
}
"""


def asked(lab):
    question = ("nft", "list", "counters", "table", "inet", "watch")
    found = output(*lab.inside(*question))
    return int(re.search(r"packets (\d+)", found).group(1))


def test_reboot(place):
    """The rules are there before the first container is, which tries from its first moment."""
    host = place.host
    start(host, "knocking", "--network jobrunner-db --restart=always", KNOCKING)
    host.run("nft delete table inet opensafely")
    wait_until(lambda: "host" in heard(host))
    assert mended(host)
    start(host, "knocking", "--network jobrunner-db --restart=always", KNOCKING)
    wait_until(lambda: heard(host) == {"database"})
    host.reboot()
    settled(host)
    wait_until(lambda: len(inspect(host, "knocking")["State"]["StartedAt"]) > 0)
    rules, docker = began(host, UNIT)[1], began(host, "docker.service")[0]
    assert 0 < rules <= docker
    assert heard(host) == {"database"}
    host.run("docker rm -f knocking")
    assert place.confined()
    assert rests_again(host)


def heard(host):
    return {*host.run("docker logs knocking", check=False).stdout.split()}


def began(host, unit):
    """When a unit was told to start, and when it had."""
    properties = ("InactiveExitTimestampMonotonic", "ActiveEnterTimestampMonotonic")
    found = host.run(f"systemctl show --value -p {','.join(properties)} {unit}").stdout
    return [int(word) for word in found.split()]


def test_rules_that_do_not_load_at_boot(place):
    """Docker does not start without them, and no container either; a run mends that."""
    host = place.host
    host.run(f"echo 'no such rule' >> {FILE}")
    host.reboot()
    assert host.run("systemctl is-active docker", check=False).stdout != "active\n"
    assert not host.run("pgrep -x sleep", check=False).stdout
    # Nor when somebody asks docker for something.
    assert host.run("docker ps", check=False).returncode
    plan = manage(host, "plan")
    assert f"Unit {UNIT}" in plan.stdout
    done = manage(host)
    assert done.returncode in (0, 4), done.stdout
    settled(host)
    assert place.confined()
    assert rests_again(host)


def test_the_rules_cannot_be_stopped(place):
    """It would stop docker too."""
    done = place.host.run(f"systemctl restart {UNIT}", check=False)
    assert "refused" in done.stderr
    assert (
        place.host.run(f"systemctl is-active {UNIT} docker").stdout.split()
        == ["active"] * 2
    )


@pytest.mark.long
@pytest.mark.parametrize("release", NEIGHBOURS)
def test_other_releases(release, warm_host, sandbox):
    """Another docker, another nft: confined all the same, and restored after a flush."""
    host = warm_host("test", release)
    place = Place(host, sandbox.lab)
    assert place.confined()
    host.run("nft flush ruleset")
    assert manage(host).returncode == 1  # docker's own rules: containers run
    host.run("systemctl restart docker")
    settled(host)
    assert place.confined()
    host.run("systemctl reboot", check=False)
    # Containers outlive docker, and an old systemd gives them 90 seconds to end by themselves.
    host.wait(timeout_s=200)
    settled(host)
    assert place.confined()
    assert rests_again(host)
