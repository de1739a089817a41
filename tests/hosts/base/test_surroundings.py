"""Whatever a run is started from, it does the same: nothing of its surroundings comes along."""

from __future__ import annotations

import shlex

import pytest

from tests.hosts.managing import CHECKOUT, history, manage, rests


# Each of these would leave a folder if anything of it was run.
MARK = "/root/was-run"
PROGRAMS = (
    "apt-get bash cat chmod dpkg env getent git id mkdir pam-auth-update python3 \
readlink sh sysctl systemctl touch useradd dirname mktemp rm grep"
)
TRAPS = f"""
mkdir -p /opt/evil/bin
for name in {PROGRAMS}; do
    printf '#!/bin/sh\\n/bin/mkdir -p {MARK}\\n' > /opt/evil/bin/$name
done
chmod 755 /opt/evil/bin/*
for name in sitecustomize usercustomize os site argparse backend_server cli; do
    echo 'open("{MARK}", "w")' > /opt/evil/$name.py
done
echo '/bin/mkdir -p {MARK}' > /opt/evil/env.sh
git init -q /opt/evil/git
printf '[core]\\n fsmonitor = /opt/evil/bin/git\\n hooksPath = /opt/evil/bin\\n' > /opt/evil/gitconfig
"""
HOSTILE = {
    "PATH": "/opt/evil/bin:/usr/bin:/bin",
    "PYTHONPATH": "/opt/evil",
    "PYTHONHOME": "/opt/evil",
    "PYTHONSTARTUP": "/opt/evil/os.py",
    "PYTHONINSPECT": "1",
    "PYTHONWARNINGS": "error",
    "PYTHONIOENCODING": "utf-16",
    "BASH_ENV": "/opt/evil/env.sh",
    "ENV": "/opt/evil/env.sh",
    "BASH_FUNC_exec%%": f"() {{ /bin/mkdir -p {MARK}; }}",
    "BASH_FUNC_cd%%": f"() {{ /bin/mkdir -p {MARK}; }}",
    "SHELLOPTS": "xtrace",
    "PS4": f"$(/bin/mkdir -p {MARK})",
    "CDPATH": "/opt/evil",
    "GIT_DIR": "/opt/evil/git/.git",
    "GIT_CONFIG_GLOBAL": "/opt/evil/gitconfig",
    "GIT_EXEC_PATH": "/opt/evil/bin",
    "APT_CONFIG": "/opt/evil/env.sh",
    "DPKG_ROOT": "/opt/evil",
    "SYSTEMD_PAGER": "/opt/evil/bin/cat",
    "LD_LIBRARY_PATH": "/opt/evil",
    "LC_ALL": "xx_YY.nonsense",
    "LANGUAGE": "tlh",
    "TMPDIR": "/nonexistent",
    "HOME": "/opt/evil",
    "COLUMNS": "1",
    "IFS": "/",
}
# What a run then has to do again: files, a package, an account, a profile of PAM. Not the
# names that the agent asks for: it would start again, and be told of.
UNDO = """
rm -r /etc/profile.d/opensafely.sh /etc/sysctl.d/zz-opensafely.conf /etc/logrotate.d/opensafely
rm -rf /etc/systemd/journald.conf.d /etc/security/limits.d/zz-opensafely.conf /var/log/opensafely
chmod 600 /etc/motd; sed -i /archive-ubuntu/d /etc/hosts; sed -i s/^UMASK.*// /etc/login.defs
userdel -r rita 2>/dev/null; apt-get -qq remove tree
pam-auth-update --package --remove opensafely-umask; rm /usr/share/pam-configs/opensafely-umask
find /srv -name __pycache__ -prune -exec rm -r {} ';'
"""
FOUND = r"find / -xdev -newer /root/before ! -type l -perm /022 ! -perm -1000 -printf '%m %p\n'"


@pytest.fixture(scope="module")
def host(shared_warm_host):
    host = shared_warm_host("test")
    host.run(TRAPS)
    return host


def test_environment(host):
    commit = history(host)[-1]["commit"]
    host.run(UNDO)
    # Not the environment of our own shell there, which would fall for all of it.
    words = [f"{name}={value}" for name, value in HOSTILE.items()]
    done = manage(host, prefix=f"/usr/bin/env {shlex.join(words)}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert host.run(f"ls -d {MARK}", check=False).returncode == 2
    newest = history(host)[-1]
    assert (newest["commit"], newest["clean"]) == (commit, True)
    assert rests(host)


def test_folder_it_is_started_in(host):
    """Python and bash both look for things where they are started."""
    done = host.run(f"cd /opt/evil && {CHECKOUT}/test/manage.sh plan", check=False)
    assert done.returncode == 0
    host.run("cp -r /opt/evil/*.py /srv/backend-server/test/")
    relative = host.run("cd /srv/backend-server/test && ./manage.sh", check=False)
    host.run(f"cd {CHECKOUT} && git clean -fdq")
    assert relative.returncode == 0
    host.run(f"ln -s {CHECKOUT}/test/manage.sh /usr/local/bin/gone && mkdir -p /root/x")
    gone = host.run(
        f"cd /root/x && rmdir /root/x && {CHECKOUT}/test/manage.sh", check=False
    )
    assert gone.returncode == 0, gone.stderr
    assert host.run(f"ls -d {MARK}", check=False).returncode == 2
    host.run("rm /usr/local/bin/gone")


@pytest.mark.parametrize("umask", ["000", "077"])
def test_umask(host, umask):
    """Nothing is left that others may write, and nothing shut that they must read."""
    host.run(f"{UNDO} touch /root/before; sleep 0.01")
    done = manage(host, prefix=f"umask {umask};")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        host.run(
            f"{FOUND} | grep -Ev ' /(proc|sys|run|tmp|var/tmp|dev)/'", check=False
        ).stdout
        == ""
    )
    modes = host.run(
        "stat -c '%a %U:%G %n' /var/log/opensafely /var/log/opensafely/history.jsonl "
        "/etc/profile.d/opensafely.sh /etc/systemd/journald.conf.d /etc/hosts /etc/motd"
    ).stdout
    assert modes.splitlines() == [
        "750 root:root /var/log/opensafely",
        "640 root:root /var/log/opensafely/history.jsonl",
        "644 root:root /etc/profile.d/opensafely.sh",
        "755 root:root /etc/systemd/journald.conf.d",
        "644 root:root /etc/hosts",
        "644 root:root /etc/motd",
    ]
    assert host.run("runuser -u ada -- tree --version").returncode == 0
    assert rests(host)


@pytest.mark.parametrize("streams", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(host, streams):
    """No file of the host must get a number that a message is written to."""
    host.run("rm /etc/profile.d/opensafely.sh; chmod 600 /etc/motd")
    done = manage(host, streams)
    # What was to be said and was not is a failure, of a run that went on.
    assert done.returncode == int(" >&-" in f" {streams}"), done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert rests(host)


def test_reader_that_goes_away(host):
    host.run("chmod 600 /etc/motd")
    done = host.run(
        f"set -o pipefail; {CHECKOUT}/test/manage.sh show -- | head -n1", check=False
    )
    assert "Traceback" not in done.stderr
    piped = host.run(f"{CHECKOUT}/test/manage.sh 2>&1 | true; echo ${{PIPESTATUS[0]}}")
    assert "Traceback" not in piped.stdout
    assert rests(host)
    assert host.run("stat -c %a /etc/motd").stdout == "644\n"
