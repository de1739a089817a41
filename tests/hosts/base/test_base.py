"""What the base of a backend does for and to people, tried as they would."""

from __future__ import annotations

import pytest

from tests.hosts.managing import HISTORY, history, manage, rests


@pytest.fixture(scope="module")
def host(shared_warm_host):
    """A host where ada has put her key into her own home."""
    host = shared_warm_host("test")
    assert rests(host)
    key = host.people["ada"].public_key
    host.run(
        "install -d -o ada -g ada -m 700 /home/ada/.ssh && "
        "install -o ada -g ada -m 600 /dev/stdin /home/ada/.ssh/authorized_keys",
        stdin=f"{key}\n",
    )
    return host


LOGINS = {
    "su": "su -l ada -c '{}'",
    "sudo": "sudo -iu ada {}",
    "cron": "systemd-run --quiet --wait --pipe -p PAMName=cron -p User=ada "
    "-p WorkingDirectory=/home/ada /bin/sh -c '{}'",
}


@pytest.mark.parametrize("login", LOGINS)
def test_new_files_are_closed_to_others(host, login):
    host.run("rm -rf /home/ada/file /home/ada/folder")
    host.run(LOGINS[login].format("touch file"))
    host.run(LOGINS[login].format("mkdir folder"))
    modes = host.run("cd /home/ada && stat -c %a:%U:%G file folder").stdout
    assert modes == "640:ada:ada\n750:ada:ada\n"


def test_new_files_over_ssh(host):
    ada = host.people["ada"]
    host.ssh("ada", ada.key, "rm -rf letter; touch letter; umask")
    assert host.run("stat -c %a /home/ada/letter").stdout == "640\n"


@pytest.mark.parametrize("name", ["ada", "rita", "gus", "opensafely"])
def test_homes_are_private(host, name):
    assert host.run(f"stat -c %a:%U:%G /home/{name}").stdout == f"750:{name}:{name}\n"
    other = "rita" if name != "rita" else "ada"
    for act in (f"ls /home/{name}", f"cat /home/{name}/.profile"):
        assert host.run(f"runuser -u {name} -- {act}").returncode == 0
        denied = host.run(f"runuser -u {other} -- {act}", check=False)
        assert "Permission denied" in denied.stderr


def test_accounts_are_locked(host):
    for name in ("ada", "rita", "gus", "opensafely"):
        assert host.run(f"getent shadow {name}").stdout.split(":")[1] == "!"
    denied = host.run("runuser -u rita -- su - ada -c id", check=False)
    assert denied.returncode != 0
    assert host.run("awk -F: '$2 == \"\"' /etc/shadow").stdout == ""


def test_idle_shells_end(host):
    """As people who are not root, in each shell, also where it is read twice."""
    ask = "env -i bash -lc 'echo $TMOUT'"
    assert host.run(f"runuser -u rita -- {ask}").stdout == "900\n"
    ada = host.people["ada"]
    assert host.ssh("ada", ada.key, "bash -lc 'echo $TMOUT'").stdout == "900\n"
    for shell in ("dash", "bash --posix", "bash -e", "sh -u"):
        twice = ". /etc/profile; . /etc/profile; echo $TMOUT survived"
        done = host.run(f"runuser -u rita -- env -i {shell} -c '{twice}'")
        assert (done.stdout, done.stderr) == ("900 survived\n", "")
    fixed = host.run("runuser -u rita -- bash -lc 'TMOUT=0; echo $TMOUT'", check=False)
    assert "readonly variable" in fixed.stderr


def test_banner(host):
    for path in ("/etc/issue.net", "/etc/issue", "/etc/motd"):
        assert '"test"' in host.read(path)
        assert "\\" not in host.read(
            path
        )  # agetty would put the system's version there


def test_noise_after_login_is_off(host):
    host.run("printf '#!/bin/sh\\necho noise\\n' > /etc/update-motd.d/10-uname")
    host.run("printf '#!/bin/sh\\necho useful\\n' > /etc/update-motd.d/98-ours")
    host.run("chmod 755 /etc/update-motd.d/*")
    assert manage(host, "--only login").returncode == 0
    assert host.run("run-parts /etc/update-motd.d").stdout == "useful\n"
    host.run("rm /etc/update-motd.d/98-ours")


def test_a_crash_leaves_no_core(host):
    """The canary is a process of ada's, in a folder of hers, that may dump all it likes."""
    crash = "cd; ulimit -c; ulimit -S -c unlimited; kill -SEGV $$"
    done = host.run(f"runuser -l ada -c '{crash}'", check=False)
    assert done.stdout.startswith("0\n")
    assert "core dumped" not in done.stdout + done.stderr
    cores = (
        "find / -xdev -name 'core*' -newer /etc/opensafely/backend -type f -size +4k"
    )
    assert host.run(f"{cores} -path '*/home/*'").stdout == ""
    assert host.run("ls /var/lib/systemd/coredump", check=False).stdout == ""
    over_ssh = host.ssh("ada", host.people["ada"].key, "ulimit -H -c")
    assert over_ssh.stdout == "0\n"


def test_links_to_what_is_not_theirs_are_refused(host):
    denied = host.run("runuser -u ada -- ln /etc/shadow /home/ada/shadow", check=False)
    assert denied.returncode != 0
    assert "Invalid cross-device link" in denied.stderr


def test_network_parameters_are_the_declared_ones(host):
    """As far as a host that shares its kernel has parameters of its own."""
    names = "net.ipv4.conf.all.send_redirects net.ipv4.conf.all.accept_source_route"
    assert host.run(f"sysctl -n {names}").stdout == "0\n0\n"
    host.run("sysctl -qw net.ipv4.conf.all.send_redirects=1")
    assert manage(host, "plan").returncode == 3
    assert manage(host).returncode == 0
    assert host.run(f"sysctl -n {names}").stdout == "0\n0\n"


def test_history_rotates(host):
    """The next run goes on in a new file, and nobody else can read either."""
    runs = len(history(host))
    host.run("logrotate -f /etc/logrotate.d/opensafely")
    assert rests(host)
    assert len(history(host)) == 1
    lines = host.run(f"wc -l < {HISTORY}.1").stdout
    assert int(lines) == runs
    assert host.run("stat -c %a /var/log/opensafely/history*").stdout == "640\n640\n"
    denied = host.run(f"runuser -u ada -- cat {HISTORY}", check=False)
    assert "Permission denied" in denied.stderr
    assert (
        host.run(
            "logrotate -d /etc/logrotate.conf 2>&1 | grep -i error", check=False
        ).stdout
        == ""
    )


def test_journal_survives_a_reboot(host):
    host.run("logger --tag canary still here; journalctl --sync")
    host.reboot()
    assert host.run("ls /var/log/journal/*/system.journal").returncode == 0
    assert "still here" in host.run("journalctl -t canary -b -1").stdout
    assert "backend-server" in host.run("journalctl -t backend-server -b -1").stdout
    assert rests(host)


def test_names_resolve_without_a_name_server(host):
    resolver = host.run("cat /etc/resolv.conf").stdout
    host.run("mv /etc/resolv.conf /root/")
    try:
        for name in ("jobs", "docker-proxy", "github-proxy", "archive-ubuntu"):
            found = host.run(f"getent ahostsv4 {name}.opensafely.org").stdout
            assert found.startswith("157.245.31.108 ")
    finally:
        host.run("mv /root/resolv.conf /etc/")
    assert host.run("cat /etc/resolv.conf").stdout == resolver


def test_hosts_file_keeps_its_inode_and_lines(host):
    """Containers have it bind-mounted, and would keep seeing the old one."""
    host.run("echo '192.0.2.9 nas.example' >> /etc/hosts; sed -i /jobs/d /etc/hosts")
    before = host.run("stat -c %i /etc/hosts").stdout
    assert manage(host).returncode == 0
    assert host.run("stat -c %i /etc/hosts").stdout == before
    assert host.run("getent hosts nas.example").stdout.startswith("192.0.2.9 ")
    assert host.run("getent hosts jobs.opensafely.org").stdout.startswith(
        "157.245.31.108 "
    )


def test_pam_profile_is_in_force(host):
    """Also after somebody asked pam-auth-update to write everything anew."""
    host.run("DEBIAN_FRONTEND=noninteractive pam-auth-update --force --package")
    assert "umask=027" in host.read("/etc/pam.d/common-session")
    assert rests(host)
    host.run("sed -i /pam_umask/d /etc/pam.d/common-session")
    done = manage(host)
    # pam-auth-update leaves alone what was changed by hand: then the run must say so.
    in_force = "umask=027" in host.read("/etc/pam.d/common-session")
    assert (done.returncode == 0) == in_force
    host.run("DEBIAN_FRONTEND=noninteractive pam-auth-update --force")
    assert rests(host)
