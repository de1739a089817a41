"""What fails holds up what needs it, and nothing else; its true cause is told, once.

Inputs are those of people's reports; each says whose.
"""

from __future__ import annotations

import pytest

from tests.hosts.managing import manage, rests
from tests.sampling import one_of


pytestmark = pytest.mark.share("in force")

# in-force/14: a vendor's agent whose own script cannot reach its server.
VENDOR = r"""
set -e; cd /root; mkdir -p vendor/DEBIAN
printf 'Package: vendor-agent\nVersion: 1\nArchitecture: all\nMaintainer: x\nDescription: x\n' \
    > vendor/DEBIAN/control
printf '#!/bin/sh\necho cannot reach licence server >&2\nexit 1\n' > vendor/DEBIAN/postinst
chmod 755 vendor/DEBIAN/postinst
dpkg-deb -b vendor vendor.deb; dpkg -i vendor.deb || true; rm -r vendor vendor.deb
"""
# Something to do in components that are said to need packages, and those after them.
BENT = (
    "/etc/sudoers.d/zz-opensafely",
    "/etc/systemd/system/docker.socket.d/zz-opensafely.conf",
)


@pytest.fixture(scope="module")
def host(shared_warm_host):
    made = shared_warm_host("emis")
    assert rests(made, "emis", "--offline")
    return made


def bend(host, *packages):
    host.run(
        f"apt-get -qq purge {' '.join(packages)} || true; chmod 600 {' '.join(BENT)}"
    )


def all_else_is_done(host):
    modes = host.run(f"stat -c %a {' '.join(BENT)}").stdout.split()
    return modes == ["440", "644"]


def there(host, *names):
    return [n for n in names if not host.run(f"{n} --version", check=False).returncode]


def test_a_package_of_the_vendor_s_that_is_broken(host):
    """in-force/14: ours are installed all the same, and who wants to know is told of theirs."""
    host.run(VENDOR)
    bend(host, "tree", "iotop")
    try:
        done = manage(host, "--offline", "emis")
        assert (done.returncode, all_else_is_done(host)) == (0, True), done.stdout
        assert there(host, "tree", "iotop") == ["tree", "iotop"]
        assert (done.stdout + done.stderr).count("with vendor-agent") == 1, done.stdout
        hint = done.stdout.partition("`dpkg ")[2].partition("`")[0]
        assert (
            "cannot reach licence server"
            in host.run(f"dpkg {hint}", check=False).stderr
        )
        again = manage(host, "--offline", "emis")
        assert (again.returncode, " added" in again.stdout) == (0, False), again.stdout
    finally:
        host.run(
            "rm /var/lib/dpkg/info/vendor-agent.postinst; dpkg --purge vendor-agent"
        )
    assert rests(host, "emis", "--offline")


STATUS = "/var/lib/dpkg/status"
# From then on apt refuses whatever else is wanted; what is the vendor's own is left as it is.
HELD_UP = {
    # mwarning/KadNode#102, openaustralia/morph#1210
    "it lacks another": (
        VENDOR.replace("Version:", "Depends: libvendor5\\nVersion:"),
        "vendor-agent : Depends: libvendor5",
    ),
    # Botspot/pi-apps#1729, vercel/hyper#4427: what is left where unpacking was cut off
    "it is half there": (
        f"{VENDOR.rstrip()}; sed -i '/^Package: vendor-agent/,/^Status/"
        f"s/^Status.*/Status: install reinstreq half-installed/' {STATUS}",
        "vendor-agent needs to be reinstalled, but I can't find an archive for it",
    ),
}


@pytest.mark.parametrize("how", one_of("a package that holds up apt", *HELD_UP))
def test_a_package_of_the_vendor_s_that_holds_up_apt(host, how):
    """Nothing can be installed, which is told with its cause; all else is done."""
    given, why = HELD_UP[how]
    bend(host, "tree", "iotop")
    try:
        host.run(given)
        done = manage(host, "--offline", "emis")
        assert (done.returncode, all_else_is_done(host)) == (1, True), done.stdout
        assert why in done.stdout, done.stdout
        assert (done.stdout + done.stderr).count("with vendor-agent") == 1, done.stdout
        hint = done.stdout.partition("`dpkg ")[2].partition("`")[0]
        assert "vendor-agent" in host.run(f"dpkg {hint}", check=False).stderr
    finally:
        host.run("dpkg --purge --force-remove-reinstreq vendor-agent")
    assert manage(host, "--offline", "emis").returncode == 0
    assert there(host, "tree", "iotop") == ["tree", "iotop"]
    assert rests(host, "emis", "--offline")


def test_a_dpkg_that_was_interrupted(host):
    """Varying-Vagrant-Vagrants/VVV#2210, openhab/openhabian#952: apt refuses to go on."""
    bend(host, "tree")
    host.run("dpkg -s less > /var/lib/dpkg/updates/0001")
    assert "interrupted" in host.run("apt-get install tree", check=False).stderr
    done = manage(host, "--offline", "emis")
    assert (done.returncode, all_else_is_done(host)) == (0, True), done.stdout
    assert there(host, "tree") == ["tree"]
    assert rests(host, "emis", "--offline")


HOOK = "/etc/apt/apt.conf.d/50vendor"
HOOKS = {
    # Vanilla-OS/vanilla-system-operator#101: it is installed, and apt-get ends with 100
    "DPkg::Post-Invoke": (0, ""),
    # microsoft/wslg#497, MichaIng/DietPi#4487
    "APT::Update::Post-Invoke-Success": (4, "try: grep -rn Invoke /etc/apt"),
    # apt.conf(5): before anything is unpacked, so that nothing is
    "DPkg::Pre-Install-Pkgs": (1, "Failure running script /opt/vendor/hook"),
}


@pytest.mark.parametrize("hook", one_of("a hook that fails", *HOOKS))
def test_a_hook_of_the_vendor_s_that_fails(host, hook):
    status, said = HOOKS[hook]
    bend(host, "tree")
    host.run("rm -r /var/lib/apt/lists/*")
    host.write(HOOK, f'{hook} {{"/opt/vendor/hook --quiet";}};\n')
    try:
        done = manage(host, "--offline", "emis")
        assert (done.returncode, all_else_is_done(host)) == (status, True), done.stdout
        assert said in done.stdout, done.stdout
        assert there(host, "tree") == ["tree"] * (status != 1)
        if "try" in said:
            assert f"{HOOK}:1:{hook}" in host.run(said.partition("try: ")[2]).stdout
    finally:
        host.run(f"rm {HOOK}")
    assert manage(host, "--offline", "emis").returncode == 0
    assert rests(host, "emis", "--offline")


def test_a_module_of_pam_s_that_somebody_took_away(host):
    """A stack that names it would refuse everybody: it is not written, and comes back."""
    module = host.run("ls /lib/*-linux-gnu/security/pam_umask.so").stdout.strip()
    host.run("pam-auth-update --package --remove opensafely-umask")
    host.run(f"rm /usr/share/pam-configs/opensafely-umask; mv {module} /root")
    try:
        done = manage(host, "--offline --only login", "emis")
        assert done.returncode == 1, done.stdout
        assert "pam_umask.so is not on this host" in done.stdout, done.stdout
        assert (
            host.run("grep pam_umask /etc/pam.d/common-session", check=False).stdout
            == ""
        )
        host.run(done.stdout.partition("try: ")[2].partition("\n")[0])
        assert manage(host, "--offline --only login", "emis").returncode == 0
    finally:
        host.run(f"test -e {module} || mv /root/pam_umask.so {module}")
    assert rests(host, "emis", "--offline")


SILENT = "http://127.0.0.1:9/ubuntu"


def test_an_archive_of_the_vendor_s_that_does_not_answer(host):
    """ansible/ansible#72841, briar-systems/mach#2885: a third party's source that is away."""
    host.write(
        "/etc/apt/sources.list.d/vendor.list", f"deb [trusted=yes] {SILENT} x main\n"
    )
    host.run("rm -r /var/lib/apt/lists/*")
    bend(host, "tree")
    try:
        done = manage(host, "--offline", "emis")
        assert (done.returncode, all_else_is_done(host)) == (4, True), done.stdout
        assert there(host, "tree") == ["tree"]
        assert done.stdout.count("\ndegraded: ") == 1, done.stdout
        assert rests(host, "emis", "--offline")
    finally:
        host.run("rm /etc/apt/sources.list.d/vendor.list")


PIN = "/etc/apt/preferences.d/hold-back"


def test_a_pin_that_keeps_one_of_ours_away(host):
    """apt_preferences(5): what must not be installed is pinned below 0; ansible#77969 is kin."""
    host.write(PIN, "Package: tr*e\nPin: release *\nPin-Priority: -1\n")
    bend(host, "tree", "iotop")
    try:
        done = manage(host, "--offline", "emis")
        assert (done.returncode, all_else_is_done(host)) == (1, True), done.stdout
        assert there(host, "tree", "iotop") == ["iotop"]
        assert done.stdout.count(f"{PIN}:1: Package: tr*e") == 1, done.stdout
        assert "apt has no version of tree to install" in done.stdout
        plan = manage(host, "plan --offline", "emis")
        assert (plan.returncode, f"{PIN}:1" in plan.stdout) == (1, True), plan.stdout
        hint = plan.stdout.partition("try: ")[2].partition("\n")[0]
        assert "Candidate: (none)" in host.run(hint).stdout
    finally:
        host.run(f"rm {PIN}")
    assert manage(host, "--offline", "emis").returncode == 0
    assert rests(host, "emis", "--offline")


def test_a_timer_that_will_not_start(host):
    """Of apt's own; what runs here goes on, and each component has one line."""
    path = "/etc/systemd/system/apt-daily-upgrade.timer.d/vendor.conf"
    host.run(f"mkdir -p $(dirname {path}); systemctl stop apt-daily-upgrade.timer")
    host.write(path, "[Timer]\nUnit=no-such.service\nOnCalendar=\nOnBootSec=\n")
    host.run("systemctl daemon-reload")
    bend(host, "tree")
    try:
        done = manage(host, "--offline", "emis")
        assert (done.returncode, all_else_is_done(host)) == (1, True), done.stdout
        assert there(host, "tree") == ["tree"]
        assert "not reached" not in done.stdout, done.stdout
    finally:
        host.run(f"rm -r $(dirname {path}); systemctl daemon-reload")
    assert manage(host, "--offline", "emis").returncode == 0


def test_what_is_not_reached_is_one_line(host):
    """in-force/04: 50 lines of it hid the one that says why."""
    host.run("gpasswd -d rita researchers; chattr +i /etc/gshadow; echo >> /etc/motd")
    host.run("chattr +i /etc/motd")
    try:
        done = manage(host, "--offline", "emis")
        hint = done.stdout.partition("try: chattr ")[2].partition("\n")[0]
        host.run(f"chattr {hint}")
    finally:
        host.run("chattr -i /etc/gshadow /etc/motd")
    assert done.returncode == 1, done.stdout
    parts = done.stdout.split("  not reached: ")[1:]
    assert len(parts) == len({p.splitlines()[1] for p in parts}) > 5, done.stdout
    assert manage(host, "--offline", "emis").returncode == 0


MARKS = {
    # ubuntu-ir/traktor#80, ansible/ansible#48886
    "i /etc/issue.net": "echo >> /etc/issue.net",
    # MeowYeon/blog#11: what may be appended to alone
    "a /etc/profile.d/opensafely.sh": "echo >> /etc/profile.d/opensafely.sh",
    "i /etc/sudoers.d": "echo '# x' >> /etc/sudoers.d/zz-opensafely",
    "i /etc/ssh/sshd_config.d/00-opensafely.conf": (
        "echo '# x' >> /etc/ssh/sshd_config.d/00-opensafely.conf"
    ),
    # elastic/detection-rules#2161: useradd and its like say that they cannot open it
    "i /etc/passwd": "usermod --shell /bin/sh rita",
    "a /etc/shadow": "chage --expiredate 1 rita",
}


@pytest.mark.parametrize("mark", one_of("an immutable file", *MARKS))
def test_a_file_that_root_may_not_change(host, mark):
    """in-force/30: whatever stands after `try:` there is what helps."""
    host.run(f"{MARKS[mark]}; chattr +{mark}")
    try:
        done = manage(host, "--offline", "emis")
        assert "Traceback" not in done.stderr
        hint = done.stdout.partition("try: chattr ")[2].partition("\n")[0]
        host.run(f"chattr {hint}")
        assert done.returncode == 1, done.stdout
        assert manage(host, "--offline", "emis").returncode == 0
    finally:
        host.run(f"chattr -{mark}")
    assert rests(host, "emis", "--offline")


LINKS = {
    # in-force/25: linuxmint/mintupdate#288
    "update-alternatives": "ln -s python3.99 {}",
    # anki/cozmo-python-sdk#163: by way of its folder, to what is not there
    "its folder": "ln -s /etc/alternatives/python3 {}; ln -s {}.99 /etc/alternatives/python3",
    # CloudBytes-Academy/CloudBytes.dev#130: taken away with somebody's own version
    "none": "true",
    # the same, with the link given for the program
    "itself": "ln -s {} {}",
}


@pytest.mark.parametrize("how", one_of("the link of python", *LINKS))
def test_the_link_of_python_that_somebody_moved(host, how):
    link = LINKS[how].replace("{}", "/usr/bin/python3")
    host.run(f"mv /usr/bin/python3 /root/python3; {link}")
    try:
        plan = manage(host, "plan --offline", "emis")
        assert plan.returncode == 2
        assert "try: apt-get install --reinstall python3-minimal" in plan.stderr
        done = manage(host, "--offline --yes", "emis")
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        host.run("test -x /usr/bin/python3 || mv -f /root/python3 /usr/bin/python3")
        host.run("rm -f /etc/alternatives/python3")
    assert rests(host, "emis", "--offline")
