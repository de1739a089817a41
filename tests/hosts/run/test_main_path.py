"""From a bare host to a backend that rests: what everybody does, on every release."""

from __future__ import annotations

import re

import pytest

from backend_server.run.place import load
from tests.hosts.managing import (
    CHECKOUT,
    HISTORY,
    changed,
    history,
    manage,
    marked,
    people_of,
    rests,
    snapshot,
)
from tests.hosts.programs import on_terminal, wait_until
from tests.hosts.releases import NEIGHBOURS
from tests.unit.example import BACKENDS, ROOT


READS_ONLY = re.compile(
    r"systemctl (show|list-units|is-enabled) |git .* status |nft -n -j list |iptables-save|ss -H "
)

LOOKS = '"(show|status|list|list-units|inspect|is-enabled)"|"iptables-save"'


@pytest.fixture(scope="module", params=[*BACKENDS, *NEIGHBOURS])
def managed(request, shared_warm_host):
    """A host after its first run, as each backend, and as test on a neighbouring release."""
    if request.param not in BACKENDS:
        return shared_warm_host("test", request.param), "test"
    host, backend = shared_warm_host(request.param, "bookworm"), request.param
    shares = load(backend, ROOT).share
    return marked(host, backend) if shares else host, backend


@pytest.fixture(scope="module")
def host(shared_warm_host):
    return shared_warm_host("test")


def test_first_run_on_a_terminal(bare_host, people):
    host = bare_host("bookworm")
    command = f"cd {CHECKOUT} && ./test/manage.sh"

    before = snapshot(host)
    alone = manage(host)
    assert alone.returncode == 2
    assert "--yes" in alone.stderr
    assert changed(before, snapshot(host)) == []

    answer_wrongly(host, command)  # which takes a Python, and that is installed by now
    before = snapshot(host)
    answer_wrongly(host, command)
    assert changed(before, snapshot(host)) == []
    assert history(host) == []

    with on_terminal(host, command) as terminal:
        terminal.until("Type test to go on: ")
        terminal.type("test\n")
        terminal.until("log in from another terminal as ada or grace within 5 minutes")
        wait_until(lambda: confirms(host, people["ada"], terminal))
        assert terminal.end() == 0, terminal.seen
    assert rests(host)


def confirms(host, person, terminal):
    host.ssh(person.name, person.key, "sleep 0.1")
    return terminal.process.poll() is not None


def answer_wrongly(host, command):
    with on_terminal(host, command) as terminal:
        said = terminal.until("Type test to go on: ")
        assert "This machine becomes the OpenSAFELY backend test" in said
        for gain in ("ada: gets an account, joins developers", "gus: ", "rita: "):
            assert gain in said
        terminal.type("tpp\n")
        assert terminal.end() == 2
        assert "the answer was not test" in terminal.seen


def test_first_run_succeeded(managed):
    host, backend = managed
    first, last = history(host)[:2]
    assert first["exit"] is None  # on disk before the first change
    assert last["exit"] == 0
    assert (last["backend"], last["clean"]) == (backend, True)
    assert host.read("/etc/opensafely/backend") == f"{backend}\n"
    assert (
        host.run("id -u opensafely; id -g opensafely").stdout.split() == ["10000"] * 2
    )
    assert host.run("getent group reviewers").stdout.split(":")[2] == "10010"
    assert people_of(host, "developers") == {"ada", "grace"}
    local = load(backend, ROOT).rosters
    for roster, who in (("researchers", "rita"), ("reviewers", "gus")):
        assert people_of(host, roster) == ({who} if roster in local else set())
    assert host.run("passwd -S ada").stdout.split()[1] == "L"


def test_packages_come_from_the_declared_archive(managed):
    host, backend = managed
    sources = host.run(
        "cat /etc/apt/sources.list /etc/apt/sources.list.d/* || true"
    ).stdout
    urls = set(re.findall(r"^(?:deb|URIs:).*?(https?://[^/ ]+)", sources, re.MULTILINE))
    ours = {f"https://{name}-ubuntu.opensafely.org" for name in ("archive", "security")}
    mirrored = "MIRROR=https" in (ROOT / backend / "backend.env").read_text()
    assert urls == ours if mirrored else not urls & ours
    assert host.run("acl=$(command -v setfacl) && apt-get check -qq").stdout == ""


def test_second_run_rests(managed):
    host, backend = managed
    assert rests(host, backend)  # the first one here compiled the tool for this host
    before, runs = snapshot(host), history(host)
    assert rests(host, backend)
    assert changed(before, snapshot(host)) == []
    assert history(host)[:-1] == runs
    newest = history(host)[-1]
    assert (newest["exit"], newest["resources"]) == (0, [])


def test_second_run_starts_few_programs(managed):
    host, backend = managed
    lines = manage(host, "-v", backend).stdout.splitlines()
    started = [line for line in lines if line.startswith("started: ")]
    # Where the agent was started a moment ago, the journal is asked too.
    started = [line for line in started if "started: journalctl " not in line]
    assert 1 <= len(started) <= 6
    assert all(READS_ONLY.search(line) for line in started)


def test_reboot(managed):
    host, backend = managed
    host.reboot()
    assert host.state == "running"
    assert rests(host, backend)


def test_second_run_opens_nothing_for_writing(host):
    """As the kernel saw it: what was started, and which files were opened to be written.

    The journal is asked too, where the agent was started a moment ago.
    """
    rests(host)
    host.run("apt-get -qq update && apt-get -qq install --no-install-recommends strace")
    calls = (
        "execve,openat,open,creat,rename,renameat,renameat2,unlink,unlinkat,symlinkat"
    )
    trace = host.run(
        f"strace -f -qq -e trace={calls} -o /tmp/trace "
        f"{CHECKOUT}/test/manage.sh >/dev/null; cat /tmp/trace"
    ).stdout
    done = [line for line in trace.splitlines() if " = -1 " not in line]

    started = [line for line in done if "execve(" in line]
    tool = next(i for i, line in enumerate(started) if "/usr/bin/python3" in line)
    # By process: of two at once one may look for its program in several folders.
    started = {line.split()[0]: line for line in started[tool + 1 :]}
    looks = [line for line in started.values() if '"journalctl"' not in line]
    assert 1 <= len(looks) <= 6, looks
    assert all(re.search(LOOKS, line) for line in looks)

    writing = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|(rename|unlink|symlink|creat)\w*\(")
    paths = {re.findall('"([^"]+)"', line)[-1] for line in done if writing.search(line)}
    assert paths <= {HISTORY, "/run/opensafely/lock", "/dev/null", "/dev/tty"}
