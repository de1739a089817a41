"""scripts/sandbox.sh, with a backend that takes no time."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time

import pytest

from sandbox import cgroups, mirror, uplink
from sandbox.checkout import HERE, Checkout
from sandbox.network import Lab


BACKEND = """#!/bin/bash
echo "managed $(date +%N)"
[ -e /etc/wobbly ] && date +%N > /etc/wobbly
exit "$(cat "${0%/*}/status")"
"""


@pytest.fixture
def stub(tmp_path):
    """A checkout with the sandbox, and a backend that takes no time."""
    shutil.copytree(HERE / "sandbox", tmp_path / "sandbox")
    shutil.copytree(HERE / "scripts", tmp_path / "scripts")
    (tmp_path / "stub").mkdir()
    (tmp_path / "stub/manage.sh").write_text(BACKEND)
    (tmp_path / "stub/manage.sh").chmod(0o755)
    (tmp_path / "stub/status").write_text("0")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    return tmp_path


def try_it(stub, *argv, **options):
    argv = [stub / "scripts/sandbox.sh", *argv]
    return subprocess.run(argv, capture_output=True, text=True, **options)


def test_the_digest_follows_the_checkout(stub):
    before = Checkout(stub).digest()
    (stub / "tests").mkdir()
    (stub / "tests/new.py").write_text("")
    assert Checkout(stub).digest() == before
    (stub / "stub/status").write_text("1")
    assert Checkout(stub).digest() != before
    assert Checkout(stub).backends() == ["stub"]


def test_the_command_passes_a_status_through(stub):
    done = try_it(stub, "stub", "--release", "12", "--", "sh", "-c", "pwd; exit 9")
    assert (done.returncode, done.stdout) == (9, "/srv/backend-server\n")
    assert "The second run changed no file" in done.stderr


def test_the_command_fails_as_manage_does(stub):
    (stub / "stub/status").write_text("3")
    done = try_it(stub, "stub", "--", "echo", "never")
    assert done.returncode == 3
    assert "exit 3" in done.stderr
    assert done.stdout == ""


def test_the_command_notices_a_second_change(stub):
    text = BACKEND.replace("[ -e /etc/wobbly ] && ", "")
    (stub / "stub/manage.sh").write_text(text)
    done = try_it(stub, "stub")
    assert done.returncode == 1
    assert "  /etc/wobbly" in done.stdout


def test_a_kept_host_stays_until_it_is_removed(stub, left_of):
    done = try_it(stub, "stub", "--keep")
    name = done.stdout.split("--remove ")[1].split()[0]
    try:
        Lab().close()
        assert left_of(name[:4]) != []
        assert cgroups.leader(name)
    finally:
        assert try_it(stub, "--remove", name).returncode == 0
    assert left_of(name[:4]) == []


def test_ctrl_c_leaves_nothing(stub, left_of):
    (stub / "stub/manage.sh").write_text("#!/bin/bash\nsleep 60\n")
    argv = [stub / "scripts/sandbox.sh", "stub"]
    with subprocess.Popen(
        argv, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        while "(bare host)" not in run.stderr.readline():
            assert run.poll() is None
        (lab,) = (name for name in uplink.labs() if left_of(f"{name}u{run.pid}"))
        time.sleep(0.5)
        os.killpg(run.pid, signal.SIGINT)
        assert "stopped; the host is gone" in run.stderr.read()
    assert run.returncode == 130
    assert left_of(lab) == []


def test_on_a_terminal_it_offers_a_shell(stub):
    line = f"{stub}/scripts/sandbox.sh stub"
    shell = "y\n\nhostname; tty; exit\n"
    done = subprocess.run(
        ["script", "-qec", line, "/dev/null"],
        input=shell,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert "A shell in it?" in done.stdout
    assert "\nstub\n/dev/pts/" in done.stdout


@pytest.mark.long
def test_a_machine_that_systemd_runs(bare_host):
    """A host has systemd and nothing but cgroup2: it is tried in there."""
    host = bare_host("bookworm", name="outer")
    host.run(
        "apt-get -qq update && apt-get -qq install -y --no-install-recommends python3"
    )
    # Layers need a real file system under them; this is the one a host has.
    cache = {"SANDBOX_CACHE": "/var/lib/docker/cache"}
    command = "cd /srv/backend-server && ./scripts/sandbox.sh"
    done = host.run(f"{command} test -- sh -c 'hostname; exit 9'", False, env=cache)
    assert (done.returncode, done.stdout) == (9, "test\n"), done.stderr
    kept = host.run(f"{command} test --keep", env=cache).stdout
    name = kept.split("--remove ")[1].split()[0]
    assert name in host.run("machinectl list").stdout
    host.run(f"{command} --remove {name}", env=cache)
    assert host.run("ls /run/backend-sandbox; ip netns").stdout == "lock\n"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["nowhere"], "no backend called nowhere"),
        (["stub", "--release", "99"], "99 is no release"),
        (["stub", "--online"], "go together"),
        (["--remove", "sb00none"], "no kept host is called sb00none"),
        ([], "wanted a BACKEND"),
    ],
)
def test_what_cannot_be_done_is_said(stub, argv, said):
    done = try_it(stub, *argv)
    assert done.returncode == 2
    assert said in done.stderr


def test_sources_of_both_formats(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(
        "# deb http://no.invalid/debian bookworm main\n"
        "deb [arch=amd64] http://a.invalid/debian bookworm main contrib\n"
        "deb http://third.invalid/docker bookworm stable\n"
    )
    (tmp_path / "sources.list.d/b.sources").write_text(
        "Types: deb deb-src\nURIs: http://b.invalid/sec/\n"
        "Suites:\n bookworm-security\n bookworm-backports\nComponents: main\n"
        "\nTypes: deb\nEnabled: no\nURIs: http://no.invalid/\nSuites: bookworm\n"
    )
    (tmp_path / "os-release").write_text("ID=debian\nVERSION_CODENAME=bookworm\n")
    found = mirror.own_mirror(tmp_path, tmp_path / "os-release")
    assert found.lines("trixie") == [
        "deb http://a.invalid/debian trixie main",
        "deb http://b.invalid/sec trixie-security main",
    ]
    assert found.locations == {
        "/debian": "http://a.invalid/debian",
        "/sec": "http://b.invalid/sec",
    }
