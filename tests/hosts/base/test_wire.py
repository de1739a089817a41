"""No other way to the wire: what others reach here, and which sockets people here can have."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from typing import Iterator

import pytest

from sandbox import identity
from sandbox.command import run
from tests.hosts.desktop.exits import answers
from tests.hosts.docker.canaries import listening_in_lab, make_image, reaches, start
from tests.hosts.doors import bent, opens
from tests.hosts.managing import manage, rests
from tests.hosts.programs import in_background, wait_until


pytestmark = pytest.mark.share("doors")

SCRIPT = Path(__file__).with_name("calling.py")
PLACE = "/usr/local/lib/tests/calling.py"
PYTHON = "/usr/bin/python3 -I -S"
WORD = "canary4d11c0"
# TCP; one more for TCP_MD5SIG, whose answers have no owner; UDP.
GUS, RITA = 5000, 6000
INBOUND = "/etc/opensafely/from_outside.nft"
METADATA = ("169.254.169.254", "fd00:ec2::254")


KINDS = "/usr/local/lib/tests/kinds.py"
# UNIX, INET, INET6, NETLINK. This machine's kernel has VSOCK and XDP, not as modules.
JUDGED = {"1", "2", "10", "16"}
VSOCK = {"40", "int 0x80: 40", "io_uring: 40"}


@pytest.fixture(scope="module")
def host(shared_warm_host):
    host = shared_warm_host("emis")
    for path in (PLACE, KINDS):
        host.write(path, SCRIPT.with_name(Path(path).name).read_text())
    host.run("chmod 755 /usr/local/lib/tests")
    assert manage(host, "--offline", backend="emis").returncode in (0, 4)
    return host


def gateways(host):
    return identity.addresses(host.lab.number, 1)


def listen(host, user, port):
    return f"{PYTHON} {PLACE} listen {WORD} {port} {' '.join(gateways(host))}"


@contextlib.contextmanager
def listeners(host) -> Iterator[None]:
    """A reviewer and a researcher, each with whatever a socket can do."""
    with contextlib.ExitStack() as stack:
        for user, port in (("gus", GUS), ("rita", RITA)):
            who = ("setpriv", "--reuid", user, "--regid", user, "--init-groups")
            argv = host.machine.enter(*who, *listen(host, user, port).split())
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            process = stack.enter_context(subprocess.Popen(argv, **pipes))
            stack.callback(process.kill)
            assert process.stdout.readline() == b"listening\n"
        yield
        host.run(f"pkill -f {PLACE}", check=False)


def everything(host):
    for address in host.addresses:
        for port in (GUS, RITA):
            yield from (("tcp", address, port), ("udp", address, port))
            yield "md5", address, port + 1


def reached(host, places=(), number=0):
    """Those that hand the word to a machine outside; that many are waited for."""
    words = [",".join(map(str, place)) for place in places or everything(host)]
    argv = host.lab.inside(*PYTHON.split(), SCRIPT, "call", WORD, number, *words)
    said = run(*argv).stdout.split()
    return {(k, a, int(p)) for k, a, p in (line.split(",") for line in said)}


def by_others(host, port):
    """All but what a reviewer's own packets would need."""
    return {each for each in everything(host) if each[2] // 100 == port // 100}


def test_nobody_is_reached_who_is_not_declared(host):
    """Neither by cookies and orphans, whom the packet filter knows no owner of, nor plainly."""
    with listeners(host):
        assert reached(host) == set()
        # What they try works, where nothing keeps strangers out.
        host.run("nft flush chain inet opensafely from_outside")
        orphans = {("md5", address, GUS + 1) for address in host.addresses}
        expected = by_others(host, RITA) | orphans
        assert reached(host, number=len(expected)) == expected
        plan = manage(host, "plan --offline", backend="emis")
        assert plan.returncode == 3
        assert "-from_outside: " not in plan.stdout
        assert "+from_outside: " in plan.stdout
        assert manage(host, "--offline", backend="emis").returncode in (0, 4)
        assert reached(host) == set()
    assert rests(host, "emis", words="--offline")


def test_what_is_declared_is_reached(host):
    """sshd, the remote desktop, and both kinds of ping; not what only looks like it."""
    assert opens(host, "ada", host.people["ada"].key)
    assert answers(host)
    pings = {("ping", address, 0) for address in host.addresses}
    assert reached(host, pings, len(pings)) == pings
    greeting = f"exec 3<>/dev/tcp/{host.address6}/22 && head -c 4 <&3"
    assert run(*host.lab.inside("bash", "-c", greeting)).stdout == "SSH-"


def test_a_provider_declares_more(host):
    """By port, protocol and network; the run before named what it shut, with its program."""
    gateway = gateways(host)[0]
    backend = ("emis/backend.py", "    github=")
    more = f'    listens=("{RITA}/tcp from {gateway}", "{GUS}/udp"),\n    github='
    with listeners(host):
        host.run(f"rm {INBOUND}")
        plan = manage(host, "plan --offline", backend="emis").stdout
        name = r"\ntcp  x:1 y:*"
        assert all(f"{port}/tcp:{name}" in plan for port in (GUS, GUS + 1, RITA))
        assert f"{RITA}/udp:{name}" in plan
        assert " 1/tcp" not in plan
        assert "+1/tcp" not in plan
        assert "22/tcp" not in plan
        assert "3389/tcp" not in plan
        assert "335/tcp" not in plan
        with bent(host, *backend, more):
            assert manage(host, "--offline", backend="emis").returncode in (0, 4)
            # gus's answer is refused where it leaves.
            assert reached(host, number=1) == {("tcp", host.address, RITA)}
            assert rests(host, "emis", words="--offline")
        assert manage(host, "--offline", backend="emis").returncode in (0, 4)
        assert reached(host) == set()


def test_sshd_is_let_in_where_the_kernel_has_it(host):
    """On a port that no file names; and a run that finds no sshd does not forget it."""
    drop_in = "/etc/systemd/system/ssh.service.d/port.conf"
    override = "[Service]\nExecStart=\nExecStart=/usr/sbin/sshd -D -p 2222\n"
    host.write(drop_in, override)
    host.run("systemctl daemon-reload; systemctl restart ssh")
    assert not host.greets(2222)
    assert manage(host, "--offline", backend="emis").returncode in (0, 4)
    assert host.greets(2222)
    host.run("systemctl stop ssh")
    assert "from_outside" not in manage(host, "plan --offline", backend="emis").stdout
    host.run(f"rm {drop_in}; systemctl daemon-reload; systemctl restart ssh")
    assert manage(host, "--offline", backend="emis").returncode in (0, 4)
    assert host.greets(22)


def test_what_a_cloud_tells_a_machine(host):
    """Root, the services of the system and the provider hear it; no account of ours, no container."""
    lab = host.lab
    for address in METADATA:
        lab.ip("addr", "add", address, "dev", "br0", *["nodad"] * (":" in address))
    places = [f"tcp:{address}:80" for address in METADATA]
    with listening_in_lab(lab, *(f"{address}:80" for address in METADATA)):
        host.run("useradd ubuntu")
        assert manage(host, "--offline", backend="emis").returncode in (0, 4)
        for name in ("root", "_apt", "ubuntu"):
            assert asks(host, name, places) == {*places}
        for name in ("ada", "rita", "gus", "opensafely", "nobody"):
            assert asks(host, name, places) == set()
        make_image(host)
        host.run("docker network create byhand")
        start(host, "one", "--network byhand")
        v4, internet = places[:1], ["tcp:198.51.100.10:80"]
        assert reaches(host, [*v4, *internet], "one") == {*internet}
        host.run("docker rm -f one; docker network rm byhand; userdel ubuntu")


def asks(host, name, places):
    """The places that answer a process of theirs."""
    script = (SCRIPT.parents[1] / "docker/reach.py").read_text()
    uid = host.run(f"id -u {name}").stdout.strip()
    who = f"setpriv --reuid {uid} --clear-groups"
    done = host.run(f"{who} {PYTHON} - {' '.join(places)}", stdin=script)
    return set(done.stdout.split())


def reports(host):
    """How often the network heard what gus joined, with IPv4 and with IPv6."""
    argv = host.lab.inside(*PYTHON.split(), SCRIPT, "sniff", WORD)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(argv, **pipes) as sniffer:
        assert sniffer.stdout.readline() == "listening\n"
        who = "setpriv --reuid gus --regid gus --init-groups"
        host.run(f"{who} {PYTHON} {PLACE} join {WORD} host0")
        said = sniffer.communicate()[0]
    return [int(number) for number in said.split()]


def test_no_group_that_somebody_joins_is_told(host):
    """By the kernel, for whoever asks: it has no owner that the packet filter knows."""
    assert reports(host) == [0, 0]
    host.run("nft flush chain inet opensafely output")
    assert all(reports(host))
    assert manage(host, "--offline", backend="emis").returncode in (0, 4)
    assert reports(host) == [0, 0]


# ---- kinds of sockets


def read(host, log):
    """What kinds.py wrote there, once it is through."""
    wait_until(lambda: "done\n" in host.run(f"cat {log}", check=False).stdout, 60)
    return {*host.run(f"cat {log}; rm {log}").stdout.splitlines()} - {"done"}


def test_kinds_of_sockets_that_people_can_have(host):
    """By cron, at, a user manager, ssh and in a container; each as if nothing kept them from it."""
    log, kinds = "/home/gus/kinds.log", f"{PYTHON} {KINDS}"
    tries = f"{kinds} >{log}"
    host.run(f"systemd-run --quiet --uid gus sh -c '{tries}'")
    free = read(host, log)
    assert free > JUDGED | VSOCK, "root starts it, and nothing keeps it from anything"
    assert "in a namespace: 17" in free

    host.run("crontab -u gus -", stdin=f"@reboot {tries}.new && mv {log}.new {log}\n")
    uid = host.run("id -u gus").stdout.strip()
    host.run("loginctl enable-linger gus")
    wait_until(
        lambda: not host.run(f"test -S /run/user/{uid}/bus", check=False).returncode
    )
    run = f"setpriv --reuid gus --regid gus --init-groups env XDG_RUNTIME_DIR=/run/user/{uid}"
    host.run(f"{run} systemd-run --user --quiet sh -c '{tries}'")
    inside = {f"in a namespace: {kind}" for kind in JUDGED}
    assert read(host, log) <= JUDGED | inside
    host.run("loginctl disable-linger gus")
    host.run("rm -f /run/crond.reboot; systemctl restart cron")

    frames = {"in a namespace: 17"}
    rita = host.ssh("rita", host.people["rita"].key, kinds).stdout.splitlines()
    assert {*rita} - {"done"} == JUDGED | inside | frames
    assert read(host, log) <= JUDGED | inside
    host.run("crontab -u gus -r")

    make_image(host)
    own = " ".join(f"-v {path}:{path}:ro" for path in ("/usr", "/lib", "/lib64"))
    done = host.run(f"docker run --rm --network none {own} canary {kinds}")
    assert {*done.stdout.splitlines()} - {"done"} == JUDGED


def test_what_a_control_group_is_called_opens_no_port(host):
    """A line of its own, as ss(8) prints it, would be sshd's, if it were read as text."""
    found = host.run(
        "ss -Hltne 'sport = :22' | grep -o 'ino:[0-9]*' | head -n 1"
    ).stdout
    (groups,) = host.run("findmnt -nro TARGET -t cgroup2").stdout.split()
    line = f"LISTEN 0 0 x:{RITA} x:* {found.strip()} "
    name = f"{groups}/a\r{line}"
    start = f"exec {PYTHON} -m http.server -d /var/empty {RITA}"
    script = f'mkdir "$NAME"; echo $$ >"$NAME/cgroup.procs"; {start}'
    with in_background(host, "env", f"NAME={name}", "bash", "-c", script):
        wait_until(lambda: f":{RITA} " in host.run("ss -Hltn").stdout)
        assert f"\n{line}" in host.run("ss -Hltne").stdout  # as text has it
        assert rests(host, "emis", words="--offline")


def started(host):
    found = host.run("pgrep -fc '[c]alling.py listen'", check=False)
    return int(found.stdout) >= 2


def test_from_the_first_moment_of_boot(host):
    """Somebody outside calls all the while; who is at home is there before the first login."""
    for user, port in (("gus", GUS), ("rita", RITA)):
        line = f"@reboot sleep infinity | {listen(host, user, port)}\n"
        host.run(f"crontab -u {user} -", stdin=line)
    calls = "for i in $(seq 200); do {} || exit; done"
    words = [",".join(map(str, place)) for place in everything(host)]
    call = " ".join([PYTHON, str(SCRIPT), "call", WORD, "0", *words])
    argv = host.lab.inside("bash", "-c", calls.format(call))
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as caller:
        try:
            host.reboot()
            wait_until(lambda: started(host))
            assert reached(host) == set()
        finally:
            caller.kill()
        assert caller.stdout.read() == ""
    for user in ("gus", "rita"):
        host.run(f"crontab -u {user} -r; pkill -u {user}", check=False)
