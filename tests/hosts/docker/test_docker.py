"""Docker as jobs need it: only the service has it, and it is never restarted by accident."""

from __future__ import annotations

import json

import pytest

from backend_server.docker.component import HELD
from tests.hosts.docker.canaries import (
    inspect,
    listening_on,
    make_image,
    pid,
    settled,
    start,
)
from tests.hosts.jobs import jobbing
from tests.hosts.managing import edited, manage, people_of, refused, rests, untouched


pytestmark = pytest.mark.share("job-runner")

DAEMON = "/etc/docker/daemon.json"
SOCKET = "/run/docker.sock"


@pytest.fixture(scope="module")
def host(shared_warm_host):
    host = shared_warm_host("test")
    make_image(host)
    return host


def main_pid(host):
    return host.run("systemctl show --value -p MainPID docker").stdout.strip()


def daemon_json(host):
    return json.loads(host.read(DAEMON))


def info(host, what):
    return host.run(f"docker info --format '{{{{{what}}}}}'").stdout.strip()


# ---- who has it


def test_only_the_service_may_use_it(host):
    assert people_of(host, "docker") == {"opensafely"}
    for name in ("ada", "rita", "gus", "nobody"):
        assert host.run(
            f"runuser -u {name} -- test -w {SOCKET}", check=False
        ).returncode
    assert host.run("runuser -u opensafely -- docker ps").returncode == 0


def test_a_developer_in_its_group(host):
    """Is taken out; somebody whom nobody knows stops the run."""
    host.run("gpasswd --add ada docker")
    assert "-ada" in manage(host, "plan").stdout
    assert manage(host).returncode == 0
    assert people_of(host, "docker") == {"opensafely"}
    host.run("useradd --groups docker mallory")
    with untouched(host):
        refused(manage(host), "mallory is in group docker, which is as good as root")
    host.run("userdel mallory")
    host.run("gpasswd --delete opensafely docker")
    assert manage(host).returncode == 0
    assert people_of(host, "docker") == {"opensafely"}


def test_it_listens_on_its_socket_only(host):
    assert host.run("ss -Hltnp").stdout.count("dockerd") == 0
    assert host.run("ss -Hlxp").stdout.count("docker.sock") >= 1


def test_no_core_of_a_container(host):
    start(host, "dumper")
    limits = host.run(f"cat /proc/{pid(host, 'dumper')}/limits").stdout
    (line,) = [line for line in limits.splitlines() if "core file" in line]
    assert line.split()[4:6] == ["0", "0"]
    host.run("docker rm -f dumper")


# ---- its packages


FAKE = r"""
set -e; cd /opt; rm -rf fake; mkdir fake; cd fake
for name in docker.io containerd runc tree; do
    mkdir -p $name/DEBIAN
    printf 'Package: %s\nVersion: 99:1\nArchitecture: all\nMaintainer: x\nDescription: x\n' \
        $name >$name/DEBIAN/control
    dpkg-deb --build $name . >/dev/null
    file=$(ls ${name}_*.deb)
    { cat $name/DEBIAN/control; echo "Filename: ./$file"; echo "Size: $(stat -c %s $file)"
      echo "SHA256: $(sha256sum $file | cut -d' ' -f1)"; echo; } >>Packages
done
printf 'Origin: Fake\nSuite: fake\nSHA256:\n %s %s Packages\n' \
    $(sha256sum Packages | cut -d' ' -f1) $(stat -c %s Packages) >Release
echo 'deb [trusted=yes] file:/opt/fake ./' >/etc/apt/sources.list.d/fake.list
echo 'Unattended-Upgrade::Origins-Pattern { "o=Fake"; };' >/etc/apt/apt.conf.d/60fake
apt-get -qq update
"""


def test_no_upgrade_touches_it(host):
    """A newer version of each is there, and one of a package that nothing holds."""
    held = host.run("apt-mark showhold").stdout.split()
    assert {"docker.io", "containerd", "runc"} <= {*held} <= HELD
    others = upgraded(host.run("apt-get -s dist-upgrade").stdout)
    host.run(FAKE)
    try:
        for verb in ("upgrade", "dist-upgrade"):
            found = upgraded(host.run(f"apt-get -s {verb}").stdout)
            assert found - others == {"tree"}
        assert host.run("apt-get -y install docker.io", check=False).returncode == 100
        # Unattended upgrades leave them alone even where somebody took the hold away.
        host.run(f"apt-mark unhold {' '.join(held)}")
        wide = upgraded(host.run("apt-get -s dist-upgrade").stdout)
        assert wide - others == {"tree", "docker.io", "containerd", "runc"}
        said = host.run("unattended-upgrade --dry-run --debug 2>&1").stdout
        (line,) = [
            ln for ln in said.splitlines() if "Packages that will be upgraded" in ln
        ]
        assert {*line.partition("upgraded:")[2].split()} - others == {"tree"}, said
    finally:
        host.run("rm -rf /etc/apt/sources.list.d/fake.list /etc/apt/apt.conf.d/60fake")
        host.run("apt-get -qq update")
    assert "+docker.io" in manage(host, "plan").stdout
    assert manage(host).returncode == 0
    assert host.run("apt-mark showhold").stdout.split() == held


def upgraded(said):
    return {line.split()[1] for line in said.splitlines() if line.startswith("Inst ")}


NEEDRESTART = """
apt-get -qq -y install --no-install-recommends needrestart
libc=$(readlink -f $(ldd /usr/sbin/dockerd | grep -o '/[^ ]*libc.so.6'))
cp -p $libc $libc.new && mv $libc.new $libc
"""


def test_needrestart_leaves_it_alone(host):
    """A new libc is a reason to restart others."""
    host.run(NEEDRESTART, env={"DEBIAN_FRONTEND": "noninteractive"})
    before = main_pid(host), main_pid_of(host, "cron")
    host.run("needrestart -r a", env={"NEEDRESTART_UI": "NeedRestart::UI::stdio"})
    after = main_pid(host), main_pid_of(host, "cron")
    assert after[0] == before[0]
    assert after[1] != before[1]
    assert rests(host)


def main_pid_of(host, unit):
    return host.run(f"systemctl show --value -p MainPID {unit}").stdout.strip()


# ---- its configuration


def test_the_providers_settings_stay(host):
    """Ours win; live-restore is in force at once, and docker is not restarted for the rest."""
    theirs = {"debug": True, "default-ulimits": {"nofile": limit("nofile", 512)}}
    process = main_pid(host)
    with edited(host, DAEMON, json.dumps({**daemon_json(host), "live-restore": False})):
        host.run("systemctl reload docker")
        assert info(host, ".LiveRestoreEnabled") == "false"
        host.run(f"cat >{DAEMON}", stdin=json.dumps({**theirs, "live-restore": False}))
        assert '"live-restore": true' in manage(host, "plan").stdout
        assert manage(host).returncode == 0
        found = daemon_json(host)
        assert found["debug"] is True
        assert set(found["default-ulimits"]) == {"core", "nofile"}
        assert info(host, ".LiveRestoreEnabled") == "true"
        assert main_pid(host) == process
        assert rests(host)
        assert "docker.service" in manage(host, "status").stdout
        host.run("systemctl restart docker")
        assert manage(host).returncode == 0
        assert "docker.service" not in manage(host, "status").stdout
    assert manage(host).returncode == 0
    host.run("systemctl restart docker")
    assert manage(host).returncode == 0


def limit(name, value):
    return {"Name": name, "Soft": value, "Hard": value}


def test_its_file_broken_by_hand(host):
    """It is as it was before, the provider's part too, and what was typed is kept."""
    host.run(f"cat >{DAEMON}", stdin=json.dumps({**daemon_json(host), "debug": True}))
    host.run(f"rm -f {DAEMON}.broken; sed -i 's/true/true,,/' {DAEMON}")
    process, broken = main_pid(host), host.read(DAEMON)
    assert manage(host, "plan").returncode == 3
    assert manage(host).returncode == 0
    assert daemon_json(host)["live-restore"] is True
    assert host.read(f"{DAEMON}.broken") == broken
    assert main_pid(host) == process
    assert rests(host)
    host.run("systemctl reset-failed docker; systemctl restart docker")
    assert rests(host)


def test_its_file_broken_before_we_knew_it(host):
    good = "/var/lib/opensafely/docker/daemon.json"
    host.run(f"mv {good} /root/good")
    with edited(host, DAEMON, "{\n"), untouched(host):
        refused(
            manage(host),
            "holds no JSON object, so dockerd will not start with it",
            f"mv {DAEMON} {DAEMON}.broken",
        )
    host.run(f"mv /root/good {good}")
    assert rests(host)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"hosts": ["tcp://0.0.0.0:2375"]}, "whoever gets there is root"),
        ({"userns-remap": "default"}, "gives the files of jobs other owners"),
        ({"iptables": False}, "without a way to any network"),
        ({"bridge": "none"}, "takes away the network that services are on"),
        ({"group": "users"}, "lets another group start containers"),
        ({"userland-proxy": False}, "closes to this host what is published"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings_that_undo_ours(host, settings, why):
    text = json.dumps({**daemon_json(host), **settings})
    with edited(host, DAEMON, text), untouched(host):
        refused(manage(host), why, f"grep -n '\"{[*settings][0]}\"' {DAEMON}")


def test_what_is_published_here_is_reached_here(host):
    """Also where there is no other proxy than the kernel's, once the refusal is gone."""
    start(host, "web", "-p 127.0.0.1:8099:8088")
    with listening_on(host, "0.0.0.0:8088", container="web"):
        asks = "runuser -u rita -- curl --silent --max-time 3 http://127.0.0.1:8099"
        assert host.run(asks, check=False).returncode == 52, "no answer, but somebody"
    host.run("docker rm -f web")


def test_options_that_undo_ours(host):
    """dockerd would listen to everybody, or not start at all."""
    for options in (
        "-H tcp://127.0.0.1:2375",
        "--dns 192.0.2.9",
        "--log-driver=journald",
    ):
        with edited(host, "/etc/default/docker", f'DOCKER_OPTS="{options}"\n'):
            refused(manage(host), "dockerd is started with ", "/etc/default/docker")
    assert rests(host)


def test_what_dockerd_would_not_start_with(host):
    """Where this dockerd can say so, it is asked before the file lands."""
    text = json.dumps({**daemon_json(host), "icc": True, "no-such-setting": 1})
    with edited(host, DAEMON, text):
        done = manage(host)
        asked = "--validate" in host.run("dockerd --help").stdout
        assert done.returncode == asked
        assert ("no-such-setting" in done.stdout) or not asked
    assert manage(host).returncode == 0


# ---- itself


def test_it_was_stopped(host):
    """A plan says so, and does not start it by asking; a run does, however often it was tried."""
    host.run("systemctl reset-failed docker")
    # Who waits for it asks its socket every 5 s, and that starts it, a plan or none.
    host.run("systemctl stop opensafely-jobrunner opensafely-airlock")
    for _ in range(3):
        host.run("systemctl restart docker")
    host.run("systemctl stop docker")
    plan = manage(host, "plan")
    assert plan.returncode == 3
    assert "running: False -> True" in plan.stdout
    assert host.run("systemctl is-active docker", check=False).stdout == "inactive\n"
    assert manage(host).returncode == 0
    settled(host)
    assert rests(host)


def test_a_network_that_is_not_as_declared(host):
    """It is made anew, but never under a container."""
    host.run("docker network rm jobrunner-db && docker network create jobrunner-db")
    start(host, "job", "--network jobrunner-db")
    done = manage(host)
    assert done.returncode == 1
    assert "jobrunner-db is not as declared, and is in use by job" in done.stdout
    assert inspect(host, "job")["State"]["Running"]
    host.run("docker rm -f job")
    jobbing.settled(host)  # docker was started anew before
    assert manage(host).returncode == 0
    assert host.run("ip link show opensafely-db").returncode == 0
    assert rests(host)
