"""scripts/sandbox.sh, with a backend that takes no time."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess

import pytest

from sandbox import cgroups, fixtures, kept, mirror, uplink, visits
from sandbox.checkout import HERE, Checkout
from sandbox.errors import CannotRun
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
    """Who typed sudo gets in by the lines as they are printed, which fit on a line."""
    somebody = {**os.environ, "SUDO_UID": "65534", "SUDO_GID": "65534"}
    done = try_it(stub, "--bare", "stub", "--keep", env=somebody)
    name = done.stdout.split("--remove ")[1].split()[0]
    try:
        Lab().close()
        assert left_of(name[:4]) != []
        assert cgroups.leader(name)
        ours = [line for line in done.stdout.splitlines() if " ssh -F" in line]
        assert max(map(len, ours)) <= 80
        a_person_gets_in(stub, name, ours)
        a_person_comes_back(stub, name)
    finally:
        assert try_it(stub, "--remove", name).returncode == 0
    assert left_of(name[:4]) == []
    assert not os.path.exists(f"/run/backend-{name}")


def a_person_gets_in(stub, name, ours):
    make = (
        "useradd -m ada && install -D -o ada -m 600 keys/ada ~ada/.ssh/authorized_keys"
    )
    assert try_it(stub, "--shell", name, "--", "sh", "-c", make).returncode == 0
    line = next(line for line in ours if line.endswith(" ada"))
    argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c"]
    typed = subprocess.run([*argv, f"{line} id -un"], capture_output=True, text=True)
    assert (typed.returncode, typed.stdout) == (0, "ada\n"), typed.stderr


def a_person_comes_back(stub, name):
    listed = try_it(stub, "--list").stdout
    assert f"{name}: bare, to become stub, " in listed
    assert f"sudo ./scripts/sandbox.sh --shell {name}" in listed
    shell = try_it(stub, "--shell", name, input="hostname; pwd; exit 7\n")
    assert (shell.returncode, shell.stdout) == (7, "stub\n/srv/backend-server\n")
    job = try_it(stub, "--job", name)
    assert (job.returncode, "has no job-runner" in job.stderr) == (2, True)


def test_a_kept_host_does_a_job_later(shared_warm_host, sandbox):
    """By another process: the stand-ins have the job from a folder."""
    host = shared_warm_host("test", shape=[fixtures.hurried], legacy_cgroups=True)
    kept.keep(host, "test", sandbox.images)
    try:
        assert "executed, finalizing, finalized" in visits.job(host.id)
        assert "/workspaces/trial/output/counts.csv" in visits.job(host.id)
        host.poweroff()
        with pytest.raises(CannotRun, match="is down"):
            visits.job(host.id)
    finally:
        (host.lab.runtime / kept.MARK).unlink()


def test_ctrl_c_leaves_nothing(stub, left_of):
    """And what manage.sh says is seen while it goes on."""
    script = "#!/bin/bash\necho begun >&2\nsleep 60\n"
    (stub / "stub/manage.sh").write_text(script)
    argv = [stub / "scripts/sandbox.sh", "stub"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(argv, start_new_session=True, **pipes) as run:
        while run.stdout.readline() != "begun\n":
            assert run.poll() is None
        (lab,) = (name for name in uplink.labs() if left_of(f"{name}u{run.pid}"))
        os.killpg(run.pid, signal.SIGINT)
        assert "stopped; the host is gone" in run.stderr.read()
    assert run.returncode == 130
    assert left_of(lab) == []


@pytest.mark.parametrize(
    ("typed", "there"), [("y\n\nhostname; tty; exit\n", 1), ("\x04", 0)]
)
def test_on_a_terminal_it_offers_a_shell(stub, typed, there):
    """Ctrl-D is a no; and manage.sh sees the terminal too, or its progress would not show."""
    text = BACKEND.replace("managed", "$([ -t 2 ] && [ ! -t 0 ] && echo seen)")
    (stub / "stub/manage.sh").write_text(text)
    line = f"{stub}/scripts/sandbox.sh stub"
    done = subprocess.run(
        ["script", "-qec", line, "/dev/null"],
        input=typed,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert done.stdout.count("\nseen ") == 2
    assert "A shell in it?" in done.stdout
    assert done.stdout.count("\nstub\n/dev/pts/") == there


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
        ([], "wanted a BACKEND (stub)"),
        (["stub", "--list"], "one of them"),
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
