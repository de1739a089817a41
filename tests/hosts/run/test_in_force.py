"""What others wrote decides nothing that we promise: it is put right, or refused with its line.

Inputs are those of people's reports; each says whose.
"""

from __future__ import annotations

import pytest

from tests.hosts.managing import manage, refused, rests
from tests.hosts.programs import wait_until
from tests.sampling import one_of


pytestmark = pytest.mark.share("in force")

GOOD = "Plum7-Kettle_Orbit"
ROOT = "sudo -k -S -p '' id -u"


@pytest.fixture(scope="module")
def host(shared_warm_host):
    made = shared_warm_host("emis")
    made.run("chpasswd", stdin=f"ada:{GOOD}\n")
    assert rests(made, "emis", "--offline")
    return made


def looks(host, *parts):
    return manage(
        host, " ".join(("plan --offline", *(f"--only {p}" for p in parts))), "emis"
    )


def becomes_root(host, name="ada"):
    done = host.run(
        f"runuser -u {name} -- {ROOT} <&0", stdin=f"{GOOD}\n" * 3, check=False
    )
    return done.stdout == "0\n"


def refuses(host, path, text, part, *said, mode=0o440):
    """The plan says what decides and where it stands; without the file all is well again."""
    assert host.run(f"test -e {path}", check=False).returncode, "somebody's own file"
    host.write(path, text, mode)
    try:
        done = looks(host, part)
    finally:
        host.run(f"rm {path}")
    assert (done.returncode, done.stderr) == (2, ""), done.stdout + done.stderr
    for each in (f"{path}:", *said):
        assert each in done.stdout, done.stdout
    assert looks(host, part).returncode == 0


# ---- sudo


RULES = [
    # in-force/31: chef-boneyard/sudo#4
    (
        "60-gus",
        "gus ALL=(ALL) NOPASSWD: ALL\n",
        "for gus sudo has (",
        "60-gus:1: gus ALL",
    ),
    (
        "60-app",
        "\n# app\n%reviewers ALL=(ALL) ALL\n",
        "for gus sudo has (",
        "60-app:3: %rev",
    ),
    # sudo-project/sudo#290: some versions read it as root's, all as a group's
    (
        "group",
        "ALL ALL=(:mail) NOPASSWD: ALL\n",
        "for gus sudo has (",
        "group:1: ALL ALL",
    ),
    # saz/puppet-sudo#69: the vendor's own default, which asks for root's password
    (
        "suse",
        "Defaults targetpw\nALL ALL=(ALL) ALL\n",
        "for gus sudo has (",
        "suse:2: ALL",
    ),
    # ahuffman/ansible-sudoers#29
    (
        "alias",
        "User_Alias IT = it1, rita\nIT ALL=(daemon) NOPASSWD: /bin/ls\n",
        "for rita sudo has (",
        "alias:2: IT ALL",
    ),
    # in-force/17: ansible/ansible#63733, sorted after ours
    (
        "zzz",
        "%developers ALL=(ALL) !ALL\n",
        "for ada sudo does not allow",
        "zzz:1: %dev",
    ),
    (
        "zzz",
        "Defaults:ada rootpw\n",
        "for ada sudo goes by rootpw",
        "zzz:1: Defaults:ada",
    ),
    (
        "zzz",
        "Defaults!ALL !authenticate\n",
        "for ada sudo goes by !authenticate",
        "zzz:1:",
    ),
    (
        "zzz",
        "grace ALL=(ALL) NOPASSWD: ALL\n",
        "for grace sudo asks no password",
        "zzz:1: gr",
    ),
]


@pytest.mark.parametrize(("name", "text", "said"), [(n, t, s) for n, t, *s in RULES])
def test_who_becomes_root_by_sudo_s_own_answer(host, name, text, said):
    refuses(host, f"/etc/sudoers.d/{name}", text, "sudo", *said)


def test_whose_password_sudo_asks_for(host):
    """The provider's own people go on being asked for root's."""
    host.write("/etc/sudoers.d/99-provider", "Defaults rootpw\n", 0o440)
    host.run("sed -i /rootpw/d /etc/sudoers.d/zz-opensafely")
    assert not becomes_root(host)
    assert manage(host, "--offline", "emis").returncode == 0
    assert becomes_root(host)
    assert rests(host, "emis", "--offline --only sudo")
    host.run("rm /etc/sudoers.d/99-provider")


INCLUDES = [
    "#includedir   /etc/sudoers.d/",
    '@includedir "/etc/sudoers.d"',
    # chef-boneyard/sudo#58, trifectatechfoundation/sudo-rs#1524: a path from where sudoers is
    "#includedir sudoers.d",
    "@includedir /etc/../etc/sudoers.d",
]


@pytest.mark.parametrize("line", one_of("includes", *INCLUDES))
def test_sudoers_that_names_its_folder_otherwise(host, line):
    """in-force/16: Azure/WALinuxAgent."""
    host.run("cp -a /etc/sudoers /root/sudoers; rm /etc/sudoers.d/zz-opensafely")
    host.run(f"sed -i '/includedir/d' /etc/sudoers; echo '{line}' >> /etc/sudoers")
    done = manage(host, "--offline", "emis")
    able = becomes_root(host)
    host.run("cat /root/sudoers > /etc/sudoers")
    assert (done.returncode, able) == (0, True), done.stderr


def test_a_group_that_this_run_takes_away(host):
    """It is no reason to refuse the run: sudo is asked after that."""
    host.run("gpasswd --add rita sudo; gpasswd --add gus developers")
    assert manage(host, "--offline --yes", "emis").returncode in (0, 4)
    assert not {"sudo", "developers"} & {*host.run("id -Gn rita gus").stdout.split()}
    assert rests(host, "emis", "--offline --only sudo")


# ---- passwords


WEAK = [
    # in-force/01: libpwquality/libpwquality#60
    (
        "/etc/security/pwquality.conf",
        "$aminlen = 8\\nminclass=1\\ndictcheck = 0",
        "dictcheck = 0",
    ),
    ("/etc/security/pwquality.conf.d/zz-app.conf", "1iminclass = 2", "minclass = 2"),
    # in-force/01: vmware/dod-compliance-and-automation#292
    (
        "/etc/pam.d/common-password",
        "s/(pam_pwquality.so).*/\\1 retry=3 minlen=8 minclass=3 dictcheck=0/",
        "minlen=8 minclass=3",
    ),
    ("/etc/pam.d/common-password", "s/(pam_pwquality.so).*/\\1 enforcing=0/", "enfor"),
    # libpwquality/libpwquality#87: credits make a short one count as long
    (
        "/etc/security/pwquality.conf",
        "$adcredit = 3\\nucredit = 3\\nlcredit = 3\\nocredit = 3",
        "credit = 3",
    ),
    # the same report's own line of PAM, which asks pam_unix alone
    ("/etc/pam.d/common-password", "/pam_pwquality/d; s/ use_authtok//", "takes"),
]


@pytest.mark.parametrize(("path", "script", "said"), WEAK)
def test_passwords_are_judged_by_trying_some(host, path, script, said):
    """What the refusal says mends it; no account is touched."""
    host.run(f"test -s {path} || echo '# theirs' > {path}; cp -a {path} /root/before")
    shadow = host.run("cat /etc/shadow; stat -c %y /etc/shadow").stdout
    host.run(f"sed -Ei '{script}' {path}")
    try:
        done = looks(host, "sudo")
        assert done.returncode == 2, done.stdout + done.stderr
        assert "of passwords PAM takes" in done.stdout, done.stdout
        assert said in done.stdout, done.stdout
        host.run(done.stdout.partition("try: ")[2].partition("\n")[0])
        done = looks(host, "sudo")
        assert done.returncode == 0, done.stdout
        assert host.run("cat /etc/shadow; stat -c %y /etc/shadow").stdout == shadow
    finally:
        host.run(f"cp -a /root/before {path}")


def test_a_password_for_whoever_is_revoked(host):
    """Nobody gets one past a revocation; what the refusal says ends that first."""
    assert manage(host, "people revoke gus --why test", "emis").returncode == 0
    done = manage(host, "people password gus --ask </dev/null", "emis")
    assert (done.returncode, "gus is revoked" in done.stderr) == (2, True), done.stderr
    host.run(f"cd /srv; {done.stderr.partition('try: ')[2].partition(chr(10))[0]}")
    assert manage(host, "--offline", "emis").returncode in (0, 4)
    assert (
        "revoked"
        not in manage(host, "people password gus --ask </dev/null", "emis").stderr
    )


# ---- settings that more than one file may say


def says(host, key):
    return host.run(f"apt-config dump {key} | tail -n 1").stdout.strip()


OVERRULED = [
    # in-force/02: jnv/ansible-role-unattended-upgrades#78
    ("02-provider-periodic", "APT::Periodic::Enable", "0"),
    ("99provider", "APT::Periodic::Unattended-Upgrade", "0"),
    # in-force/03: Ubuntu's own place for what is local
    ("52unattended-upgrades-local", "Unattended-Upgrade::Automatic-Reboot", "true"),
]


def test_what_apt_reads_before_ours_does_not_count(host):
    for name, key, value in OVERRULED:
        host.write(f"/etc/apt/apt.conf.d/{name}", f'{key} "{value}";\n')
    try:
        assert manage(host, "--offline --only updates", "emis").returncode == 0
        assert says(host, "APT::Periodic::Enable").endswith('"1";')
        assert says(host, "APT::Periodic::Unattended-Upgrade").endswith('"1";')
        assert says(host, OVERRULED[2][1]).endswith('"false";')
    finally:
        host.run(f"cd /etc/apt/apt.conf.d; rm {' '.join(o[0] for o in OVERRULED)}")
    assert manage(host, "--offline --only updates", "emis").returncode == 0


APT = "/etc/apt/apt.conf.d/zzz"
JOURNALD = "/etc/systemd/journald.conf.d/storage.conf"
LATER = [
    ("updates", APT, 'apt::periodic {\n Enable "0"; };\n', "2:Enable"),
    ("updates", "/etc/apt/apt.conf", 'APT::Periodic::Enable "0";\n', "1:APT"),
    (
        "updates",
        APT,
        "#clear Unattended-Upgrade::Package-Blacklist;\n",
        "1:#clear",
    ),
    # RPi-Distro/raspberrypi-sys-mods#110, NixOS/nixpkgs#244892: a vendor's or a neighbour's
    ("logs", JOURNALD, "[Journal]\nStorage=volatile\n", "2:Storage=volatile"),
    (
        "logs",
        "/usr/lib/systemd/journald.conf.d/zz-vendor.conf",
        "[Journal]\nSystemMaxUse = 64M\n",
        "2:SystemMaxUse=64M",
    ),
    (
        "kernel",
        "/run/systemd/coredump.conf.d/zz.conf",
        "[Coredump]\nStorage=external\n",
        "2:Storage=external",
    ),
    # systemd/systemd#35398, elogind/elogind#53: whose processes end with their session
    (
        "login",
        "/etc/systemd/logind.conf.d/zz.conf",
        "[Login]\nKillUserProcesses=yes\n",
        "2:KillUserProcesses=yes",
    ),
    # systemd/systemd#11949: size 0, so that no user has such a folder
    (
        "login",
        "/usr/lib/systemd/logind.conf.d/zz-vendor.conf",
        "[Login]\nRuntimeDirectorySize = 0\n",
        "2:RuntimeDirectorySize=0",
    ),
    (
        "login",
        "/run/systemd/logind.conf.d/zz.conf",
        "[Login]\nIdleAction=suspend\n",
        "2:IdleAction=suspend",
    ),
    # systemd/systemd#2039, supabase/postgres#488: so that whoever left keeps memory
    (
        "login",
        "/etc/systemd/logind.conf.d/zz-db.conf",
        "[Login]\nRemoveIPC=no\n",
        "2:RemoveIPC=no",
    ),
    # in-force/03 again, where it is read last
    (
        "updates",
        APT,
        'Unattended-Upgrade::Automatic-Reboot "true";\n',
        '1:Unattended-Upgrade::Automatic-Reboot"true";',
    ),
    # in-force/21: what a hardening guide's file says counts from the next boot on
    (
        "kernel",
        "/etc/sysctl.d/zzz-cis.conf",
        "# CIS\n-fs/suid_dumpable=2\n",
        "2:-fs/suid_dumpable=2",
    ),
]


@pytest.mark.parametrize(("part", "path", "text", "said"), LATER)
def test_what_is_read_after_ours(host, part, path, text, said):
    host.run(f"mkdir -p $(dirname {path}); cat > {path}", stdin=text)
    done = looks(host, part)
    hint = done.stdout.partition("try: ")[2].partition("\n")[0]
    assert hint.startswith(f"mv {path} "), done.stdout
    host.run(hint)
    after = looks(host, part).returncode
    host.run(f"rm {hint.split()[-1]}")
    assert (done.returncode, done.stderr) == (2, ""), done.stdout + done.stderr
    assert f"{path}:{said}" in done.stdout.replace(" ", ""), done.stdout
    assert {after, looks(host, part).returncode} == {0}


ASKED = [
    (
        "sudo",
        "install -m 440 /dev/null /etc/sudoers.d/x",
        "rm /etc/sudoers.d/x",
        "-l -U",
    ),
    (
        "sudo",
        "mkdir -p /etc/security/pwquality.conf.d; echo >/etc/security/pwquality.conf.d/x.conf",
        "rm /etc/security/pwquality.conf.d/x.conf",
        "chpasswd",
    ),
    ("updates", "echo >/etc/apt/apt.conf", "rm /etc/apt/apt.conf", "apt-config dump"),
    (
        "logs",
        "mkdir /run/systemd/journald.conf.d",
        "rmdir /run/systemd/journald.conf.d",
        "cat-config",
    ),
    (
        "ssh",
        "echo >/etc/ssh/sshd_config.d/x.conf",
        "rm /etc/ssh/sshd_config.d/x.conf",
        "sshd -t",
    ),
]


@pytest.mark.parametrize(("part", "given", "undone", "program"), ASKED)
def test_it_is_asked_again_when_something_changes(host, part, given, undone, program):
    """Once; where the answer is as wanted, nothing is told and nothing is different."""

    def asked():
        assert rests(host, "emis", f"--offline --only {part}")
        told = manage(host, f"plan --offline -v --only {part}", "emis")
        return program in told.stdout

    host.run(given)
    try:
        seen = manage(host, f"plan --offline -v --only {part}", "emis")
        assert (seen.returncode, program in seen.stdout) == (0, True), seen.stdout
        assert not asked()
    finally:
        host.run(undone)


# ---- what ours are, whatever others add to them


DROP_INS = [
    # coreos/bugs#1124, openSUSE/transactional-update#95: what `systemctl edit` leaves
    (
        "/etc",
        "opensafely-people.service",
        "[Service]\nExecStart=\nExecStart=/bin/true\n",
    ),
    (
        "/run",
        "opensafely-jobrunner.service",
        "[Service]\nUser=root\nPrivateNetwork=no\n",
    ),
    ("/usr/lib", "opensafely-modes.service", "[Service]\nProtectSystem=no\n"),
    ("/etc", "opensafely-people.timer", "[Timer]\nOnCalendar=\nOnBootSec=\n"),
    # systemd/systemd#1774; a drop-in for all services, as of a vendor of containers
    ("/etc", "service", "[Service]\nNoNewPrivileges=no\n"),
    ("/etc", "opensafely-", "[Unit]\nConditionPathExists=/nowhere\n"),
]


@pytest.mark.parametrize(("top", "unit", "text"), DROP_INS)
def test_a_drop_in_over_a_unit_of_ours(host, top, unit, text):
    """The last line decides; doing what the hint says, it is ours again."""
    folder = f"{top}/systemd/system/{unit}{'.service' * unit.endswith('-')}.d"
    path, last = f"{folder}/override.conf", text.splitlines()[-1]
    host.run(f"mkdir -p {folder}; cat > {path}; systemctl daemon-reload", stdin=text)
    try:
        done = looks(host, "identity")
        assert done.returncode == 2, done.stdout + done.stderr
        assert f"{path}:{len(text.splitlines())}: {last}" in done.stdout, done.stdout
        host.run(done.stdout.partition("try: ")[2].partition("\n")[0])
        assert looks(host, "identity").returncode == 0
        assert (
            last
            not in host.run("systemctl cat opensafely-people.{service,timer}").stdout
        )
    finally:
        host.run(f"rm -r {folder}; systemctl daemon-reload")
    # A timer that had nothing left to wait for goes on only when it is started anew.
    assert manage(host, "--offline", "emis").returncode == 0
    # What it starts may be under way, as it is due since before; with nothing left it is elapsed.
    timers = "systemctl show --value --property=SubState opensafely-people.timer"
    wait_until(lambda: host.run(timers).stdout == "waiting\n", 60)


MASKED = "/usr/lib/systemd/system/opensafely-people.service.d"


def test_a_drop_in_that_another_of_its_name_masks(host):
    """systemd/systemd#2103: a link to /dev/null, as systemd.unit(5) has it; it has no effect."""
    whose = "systemctl show --value --property=Nice,User opensafely-people.service"
    over = MASKED.replace("/usr/lib", "/etc")
    host.run(f"mkdir {MASKED} {over}; ln -s /dev/null {over}/vendor.conf")
    host.write(f"{MASKED}/vendor.conf", "[Service]\nUser=gus\n")
    host.run("systemctl daemon-reload")
    try:
        assert "gus" not in host.run(whose).stdout
        assert looks(host, "identity").returncode == 0
        host.run(f"rm {over}/vendor.conf; systemctl daemon-reload")
        assert "gus" in host.run(whose).stdout
        done = looks(host, "identity")
        assert done.returncode == 2
        assert f"{MASKED}/vendor.conf:2: User=gus" in done.stdout, done.stdout
        host.write(f"{over}/vendor.conf", "")  # empty is as good
        host.run("systemctl daemon-reload")
        assert "gus" not in host.run(whose).stdout
        assert looks(host, "identity").returncode == 0
    finally:
        host.run(f"rm -r {MASKED} {over}; systemctl daemon-reload")


def test_one_of_ours_that_is_masked(host):
    """It is put back: of others' units, too."""
    ours = SOCKET.replace("override", "zz-opensafely")
    host.run(f"ln -sf /dev/null {ours}")
    done = looks(host, "docker")
    assert (done.returncode, ours in done.stdout) == (3, True), done.stdout
    assert manage(host, "--offline --only docker", "emis").returncode == 0
    assert "SocketMode=0660" in host.read(ours)


def test_what_set_property_leaves(host):
    """systemd/systemd#16592: it is read before all else."""
    unit = "opensafely-modes.service"
    most = f"systemctl show --value --property=MemoryMax {unit}"
    host.run(f"systemctl set-property {unit} MemoryMax=1M")
    try:
        assert host.run(most).stdout == "1048576\n"
        done = looks(host, "identity")
        place = f"/etc/systemd/system.control/{unit}.d/50-MemoryMax.conf:"
        assert (done.returncode, place in done.stdout) == (2, True), done.stdout
        host.run(done.stdout.partition("try: ")[2].partition("\n")[0])
        assert host.run(most).stdout == "infinity\n"
        assert looks(host, "identity").returncode == 0
    finally:
        host.run(f"rm -r /etc/systemd/system.control/{unit}.d; systemctl daemon-reload")


def test_security_updates_that_are_put_off_for_years(host):
    """jnv/ansible-role-unattended-upgrades#78 by other means: the timer waits, and counts as active."""
    folder = "/etc/systemd/system/apt-daily-upgrade.timer.d"
    again = "systemctl daemon-reload; systemctl restart apt-daily-upgrade.timer"
    told = "apt-daily-upgrade.timer comes on 2099-01-01, not before"
    assert "not before" not in manage(host, "status", "emis").stdout
    host.run(f"mkdir {folder}")
    host.write(f"{folder}/off.conf", "[Timer]\nOnCalendar=\nOnCalendar=2099-01-01\n")
    host.run(again)
    done = manage(host, "status", "emis")
    try:
        assert (done.returncode, told in done.stdout) == (4, True), done.stdout
        hint = done.stdout.partition(f"{told}; try: ")[2].partition("\n")[0]
        assert f"{folder}/off.conf" in host.run(hint).stdout
    finally:
        host.run(f"rm -r {folder}; {again}")
    assert told not in manage(host, "status", "emis").stdout


def test_a_timer_that_is_put_off_for_years(host):
    """As who wants no such runs writes, and does not mask it: it waits, and counts as active."""
    folder = "/etc/systemd/system/opensafely-people.timer.d"
    comes = "systemctl show --value --property=NextElapseUSecRealtime opensafely-people.timer"
    host.run(f"mkdir {folder}")
    host.write(f"{folder}/off.conf", "[Timer]\nOnCalendar=\nOnCalendar=2099-01-01\n")
    host.run("systemctl daemon-reload; systemctl restart opensafely-people.timer")
    try:
        assert "2099" in host.run(comes).stdout
        done = looks(host, "identity")
        assert (done.returncode, "2099-01-01" in done.stdout) == (2, True), done.stdout
        host.run(done.stdout.partition("try: ")[2].partition("\n")[0])
        assert looks(host, "identity").returncode == 0
        assert "2099" not in host.run(comes).stdout
    finally:
        host.run(f"rm -r {folder}; systemctl daemon-reload")
        host.run("systemctl restart opensafely-people.timer")


def test_a_drop_in_that_only_watches(host):
    """Whom the provider tells of a failure, and how nice it is, is the provider's."""
    folder = "/etc/systemd/system/opensafely-people.service.d"
    text = "[Unit]\nOnFailure=page@%n.service\n[Service]\nNice=5\n"
    host.run(f"mkdir {folder}; cat > {folder}/page.conf", stdin=text)
    assert looks(host, "identity").returncode == 0
    host.run(f"rm -r {folder}; systemctl daemon-reload")


def test_a_drop_in_that_only_schedules(host):
    """Times in the place of ours, so not one that takes them away alone."""
    folder = "/etc/systemd/system/opensafely-tidy.timer.d"
    text = "[Timer]\nOnCalendar=\nOnCalendar=03:17\n"
    host.run(f"mkdir {folder}; cat > {folder}/night.conf", stdin=text)
    assert looks(host, "identity").returncode == 0
    host.run(f"rm -r {folder}; systemctl daemon-reload")


CORES = [
    ("zzz-provider.conf", "* hard core unlimited\n"),
    ("10-app.conf", "# app\n@developers - core 1000\n"),
    ("zzz.conf", "ada hard core unlimited\n"),
    ("10-range.conf", "1000: hard core unlimited\n"),
    ("10-all.conf", "@opensafely-people - CORE unlimited # of ours\n"),
]


@pytest.mark.parametrize(
    ("name", "text"),
    [("zzz.conf.bak", "ada - core 9\n"), ("zzz.conf", "ada hard core 0 # none\n")],
)
def test_a_line_of_no_other_limit_of_core_files(host, name, text):
    host.run(f"cat > /etc/security/limits.d/{name}", stdin=text)
    done = looks(host, "kernel")
    host.run(f"rm /etc/security/limits.d/{name}")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("name", "text"), CORES)
def test_the_limit_of_core_files(host, name, text):
    """limits.conf(5): later, or by name; asked of a session as ada gets it."""

    def most():
        return host.ssh("ada", host.people["ada"].key, "ulimit -Hc").stdout.strip()

    path = f"/etc/security/limits.d/{name}"
    assert most() == "0"
    host.write(path, text)
    try:
        assert most() != "0"
        done = looks(host, "kernel")
        assert done.returncode == 2, done.stdout + done.stderr
        assert f"{path}:{len(text.splitlines())}: " in done.stdout
        host.run(done.stdout.partition("try: ")[2].partition("\n")[0])
        assert (looks(host, "kernel").returncode, most()) == (0, "0")
    finally:
        host.run(f"rm {path}")


NOBODY_IN = {
    # mikeizbicki/cmc-csci046#552, hashbang/shell-etc#129: whoever has no process left
    "10-fork.conf": "* hard nproc 1\n",
    "10-app.conf": "# app\n@developers - nofile 3\n",
    # idaholab/Malcolm#214, sonic-net/sonic-buildimage#5338: 0 is not no limit, which is -1
    "10-logins.conf": "* - maxlogins 0\n",
    "10-memory.conf": "1000: hard as 1000\n",
}


@pytest.mark.parametrize("name", one_of("a limit", *NOBODY_IN))
def test_a_limit_with_which_nobody_comes_in(host, name):
    def comes_in():
        done = host.ssh("ada", host.people["ada"].key, "id -un | cat", check=False)
        return done.stdout == "ada\n"

    path, text = f"/etc/security/limits.d/{name}", NOBODY_IN[name]
    assert comes_in()
    host.write(path, text)
    try:
        assert not comes_in()
        done = looks(host, "kernel")
        assert done.returncode == 2, done.stdout + done.stderr
        assert f"{path}:{len(text.splitlines())}: " in done.stdout
        host.run(done.stdout.partition("try: ")[2].partition("\n")[0])
        assert (looks(host, "kernel").returncode, comes_in()) == (0, True)
    finally:
        host.run(f"rm {path}")


def goes_on(host):
    """Whether what ada began is there when logind has forgotten her session."""
    begin = "setsid sleep 1234 </dev/null >/dev/null 2>&1 & sleep 0.2"
    host.ssh("ada", host.people["ada"].key, begin)
    host.run("for n in $(seq 200); do pgrep -u ada sshd || break; sleep 0.1; done")
    host.run("for n in $(seq 30); do pgrep -f 'sleep 1234' || break; sleep 0.1; done")
    return not host.run("pkill -f 'sleep 1234'", check=False).returncode


def test_what_was_begun_goes_on_after_the_line(host):
    """systemd/systemd#2975: a provider's logind ends it; read before ours, it does not count."""
    theirs = "/etc/systemd/logind.conf.d/00-cis.conf"
    ours = theirs.replace("00-cis", "opensafely")
    host.write(theirs, "[Login]\nKillUserProcesses=yes\nIdleAction=poweroff\n")
    host.run(f"rm {ours}; systemctl restart systemd-logind")
    try:
        assert not goes_on(host)  # a real danger
        assert manage(host, "--offline --only login", "emis").returncode == 0
        assert goes_on(host)
        assert rests(host, "emis", "--offline --only login")
    finally:
        host.run(f"rm {theirs}")


def keeps_memory(host):
    """Whether what rita left in shared memory is there when logind has forgotten her."""
    host.ssh("rita", host.people["rita"].key, "ipcmk --shmem 4096 >/dev/null")
    here = "loginctl show-user rita >/dev/null 2>&1"
    host.run(f"for n in $(seq 300); do {here} || break; sleep 0.1; done; ! {here}")
    ours = "ipcs --shmems | awk '$3 == \"rita\" { print $2 }'"
    return host.run(f"for n in $({ours}); do ipcrm -m $n; echo $n; done").stdout != ""


def test_what_whoever_left_keeps_in_memory(host):
    """systemd/systemd#2039, bnnanet/serviceman#5: advice for databases under people's names."""
    theirs = "/etc/systemd/logind.conf.d/00-db.conf"
    ours = theirs.replace("00-db", "opensafely")
    host.write(theirs, "[Login]\nRemoveIPC=no\nUserStopDelaySec=0\n")
    host.run(f"rm {ours}; systemctl restart systemd-logind")
    try:
        assert keeps_memory(host)  # a real danger
        assert manage(host, "--offline --only login", "emis").returncode == 0
        assert not keeps_memory(host)
    finally:
        host.run(f"rm {theirs}; systemctl restart systemd-logind")


def test_a_user_manager_that_never_ends(host):
    """systemd/systemd#8410: what a provider says there holds for whoever logs out, not for who leaves."""
    theirs = "/etc/systemd/logind.conf.d/zz-provider.conf"
    host.write(theirs, "[Login]\nUserStopDelaySec=infinity\nKillExcludeUsers=rita\n")
    host.run("systemctl restart systemd-logind")
    uid = host.run("id -u rita").stdout.strip()
    manager = f"systemctl is-active user@{uid}.service user-runtime-dir@{uid}.service"
    try:
        assert looks(host, "login").returncode == 0
        host.ssh("rita", host.people["rita"].key, "echo x > $XDG_RUNTIME_DIR/kept")
        host.run("for n in $(seq 200); do pgrep -u rita sshd || break; sleep 0.1; done")
        assert host.run(manager).stdout == "active\nactive\n"
        assert manage(host, "people revoke rita --why test", "emis").returncode == 0
        assert host.run(manager, check=False).stdout == "inactive\ninactive\n"
        assert host.run(f"ls /run/user/{uid}", check=False).returncode
    finally:
        host.run(f"rm {theirs}; systemctl restart systemd-logind")
        manage(host, "people readmit rita", "emis")
        assert manage(host, "--offline", "emis").returncode in (0, 4)


def test_parameters_after_systemd_sysctl_ran_again(host):
    """What is read before ours has no effect, live or at the next boot."""
    path = "/etc/sysctl.d/50-provider.conf"
    host.write(path, "net.ipv4.conf.all.accept_redirects = 1\n")
    host.run("systemctl restart systemd-sysctl")
    assert host.run("sysctl -n net.ipv4.conf.all.accept_redirects").stdout == "0\n"
    assert looks(host, "kernel").returncode == 0
    host.run(f"rm {path}")


def test_what_keeps_developers_out_is_told_at_any_time(host):
    """in-force/29: pam_access, nologin; and whom it lets in is not told of."""
    access = "/etc/security/access.conf"
    host.run(f"cp -a /etc/pam.d/sshd /root/sshd; cp -a {access} /root/access")
    host.run("sed -i '1i account required pam_access.so' /etc/pam.d/sshd")
    host.run(
        f"printf '%s\n' '+:grace:ALL' '-:ALL EXCEPT root (opensafely):ALL' >> {access}"
    )
    key = host.people["ada"].key
    try:
        for words in ("status", "plan --offline"):
            done = manage(host, words, "emis")
            assert done.returncode == 4, done.stdout
            assert (
                "ada does not come in by ssh: /etc/security/access.conf:" in done.stdout
            )
            assert "grace does" not in done.stdout
        assert host.ssh("ada", key, "true", check=False).returncode == 255
        host.run(done.stdout.partition("; try: ")[2].partition("\n")[0])
        assert host.ssh("ada", key, "true", check=False).returncode == 0
        assert manage(host, "status", "emis").returncode == 0
        host.run("touch /etc/nologin")
        done = manage(host, "status", "emis")
        assert "root alone; try: rm /etc/nologin" in done.stdout
        assert host.ssh("ada", key, "true", check=False).returncode == 255
    finally:
        host.run(
            f"rm -f /etc/nologin; cat /root/sshd > /etc/pam.d/sshd; cat /root/access > {access}"
        )
    assert manage(host, "status", "emis").returncode == 0


# ---- docker, units


SOCKET = "/etc/systemd/system/docker.socket.d/override.conf"
SHADOW = "/v1.24/containers/json"


def speaks_to_docker(host, name):
    ask = f"curl -s --unix-socket /run/docker.sock http://docker{SHADOW}"
    done = host.run(f"runuser -u {name} -- {ask}", check=False)
    return done.stdout.startswith("[")


def test_a_socket_of_docker_s_that_is_open_to_all(host):
    """in-force/05: docker/docs#20411, netalertx/NetAlertX#1235."""
    host.run(f"rm -f {SOCKET.replace('override', 'zz-opensafely')}")
    host.run(f"mkdir -p $(dirname {SOCKET})")
    host.write(SOCKET, "[Socket]\nSocketMode=0666\nSocketGroup=users\n")
    made_anew = "systemctl daemon-reload; systemctl restart docker.socket docker"
    host.run(made_anew)
    assert speaks_to_docker(host, "gus")
    assert manage(host, "--offline --only docker", "emis").returncode == 0
    assert not speaks_to_docker(host, "gus")
    assert speaks_to_docker(host, "opensafely")
    host.run(made_anew)
    assert not speaks_to_docker(host, "gus")
    assert rests(host, "emis", "--offline --only docker")
    host.run("chmod 666 /run/docker.sock; chown gus /run/docker.sock")
    assert manage(host, "--offline --only docker", "emis").returncode == 0
    assert not speaks_to_docker(host, "gus")
    host.run(f"rm {SOCKET}; systemctl daemon-reload")


OPTIONS = [
    # in-force/06: moby/moby#6002, moby/moby#18388
    ("--iptables=false", "--iptables=false"),
    ("--ip-masq=false --mtu=1400", "--ip-masq=false"),
    ("-G users", "-G"),
    ("--userns-remap=default", "--userns-remap=default"),
    ("-H unix:///srv/docker.sock", "unix:///srv/docker.sock"),
    ("-b none", "-b"),
]


@pytest.mark.parametrize(("options", "said"), OPTIONS)
def test_dockerd_s_options_are_judged_as_its_settings_are(host, options, said):
    path = "/etc/default/docker"
    host.run(f"cp -a {path} /root/before; echo 'DOCKER_OPTS=\"{options}\"' >> {path}")
    done = looks(host, "docker")
    host.run(f"cp -a /root/before {path}")
    assert done.returncode == 2, done.stdout
    assert f"dockerd is started with {said}" in done.stdout
    fine = "-H unix:///var/run/docker.sock --registry-mirror=https://x --mtu=1400"
    host.run(f"echo 'DOCKER_OPTS=\"{fine}\"' >> {path}")
    assert looks(host, "docker").returncode == 0
    host.run(f"cp -a /root/before {path}")


@pytest.mark.parametrize(
    "line",
    [
        # an access list lets one in whom no group does
        "setfacl -m u:gus:rw /run/docker.sock",
        "chgrp reviewers /run/docker.sock",
        "chmod o+rw /run/docker.sock",
    ],
)
def test_a_socket_that_somebody_opened(host, line):
    host.run(line)
    assert speaks_to_docker(host, "gus")
    assert manage(host, "--offline --only docker", "emis").returncode == 0
    assert not speaks_to_docker(host, "gus")
    assert speaks_to_docker(host, "opensafely")
    assert rests(host, "emis", "--offline --only docker")


@pytest.mark.parametrize(
    "unit", one_of("a masked unit of docker's", "docker.socket", "docker.service")
)
def test_a_unit_of_docker_s_that_is_masked(host, unit):
    """in-force/04: what runs goes on, and would not come back after a reboot."""
    host.run(f"systemctl mask {unit}")
    try:
        done = manage(host, "--offline --only docker", "emis")
        assert done.returncode == 0, done.stdout + done.stderr
        state = host.run(f"systemctl is-enabled {unit}", check=False).stdout
        assert state == "enabled\n"
    finally:
        # Masked while it ran, the socket has lost what it listened with.
        host.run(f"systemctl unmask {unit}; systemctl restart docker.socket docker")


OFF = ("systemctl mask ssh.service", "systemctl disable ssh.service")


@pytest.mark.parametrize("off", OFF)
def test_an_sshd_that_does_not_come_back(host, off):
    """systemd/systemd#12084 is kin: it runs until the next reboot, and then nobody comes in."""
    told = "nothing starts sshd after a reboot"
    assert told not in manage(host, "status", "emis").stdout
    host.run(off)
    try:
        for words in ("status", "plan --offline"):
            done = manage(host, words, "emis")
            assert (done.returncode, done.stdout.count(told)) == (4, 1), done.stdout
        host.run(done.stdout.partition(f"{told}; try: ")[2].partition("\n")[0])
        assert host.run("systemctl is-enabled ssh.service").stdout == "enabled\n"
        assert told not in manage(host, "status", "emis").stdout
    finally:
        host.run("systemctl unmask ssh.service; systemctl enable ssh.service")


@pytest.mark.long
def test_a_clock_that_nothing_sets(host):
    """afadesigns/zshellcheck#860, VeeamHub/veeam-hardened-repository#6: one's time service is off."""
    told = "nothing sets the clock"
    host.run("apt-get -qq install chrony")
    try:
        assert told not in manage(host, "status", "emis").stdout
        for off in ("mask --now", "disable --now"):
            host.run(f"systemctl {off} chrony.service")
            done = manage(host, "status", "emis")
            assert (done.returncode, done.stdout.count(told)) == (4, 1), done.stdout
            hint = done.stdout.partition(f"{told}: ")[2].partition("try: ")[2]
            host.run(hint.partition("\n")[0])
            assert host.run("systemctl is-enabled chrony").stdout == "enabled\n"
            assert told not in manage(host, "status", "emis").stdout
    finally:
        host.run("systemctl unmask chrony; apt-get -qq purge chrony")


@pytest.mark.parametrize("how", ["", "--runtime"])
def test_a_timer_that_an_image_has_masked(host, how):
    """in-force/04: silogen/cluster-bloom#304, ComplianceAsCode/content#15079."""
    host.run(f"systemctl mask {how} --now apt-daily-upgrade.timer")
    done = manage(host, "--offline --only updates", "emis")
    assert done.returncode == 0, done.stdout + done.stderr
    assert host.run("systemctl is-active apt-daily-upgrade.timer").stdout == "active\n"
    assert rests(host, "emis", "--offline --only updates")


def test_a_rule_for_a_group_that_we_would_take_over(bare_host):
    """in-force/31: a group of that name is the provider's, and root by a rule."""
    host = bare_host()
    host.run("groupadd researchers")
    # Nobody of ours, nor all: what the provider has for its own.
    host.write("/etc/sudoers.d/40-own", "backup ALL = (root) /bin/ls\n", 0o440)
    rule = "%researchers ALL=(ALL) NOPASSWD: ALL\n"
    host.write("/etc/sudoers.d/50-app", rule, 0o440)
    done = manage(host, "--offline --yes", "emis")
    assert host.run("id rita", check=False).returncode
    refused(done, "rita", "/etc/sudoers.d/50-app:1: %researchers")
    assert "40-own" not in done.stderr
    host.run("rm /etc/sudoers.d/50-app")
    who_is_shut_out(host)


# konstruktoid/ansible-role-hardening#774, #74, debops/ansible-sshd#53: root by an alias, by a
# group that is not sudo's own, by a number.
ROOTS = {
    "ops1": "User_Alias OPS = ops1\nOPS ALL=(ALL:ALL) ALL",
    "ops2": "%team ALL=(ALL) NOPASSWD: ALL",
    "ops3": "#4711 ALL=(root) NOPASSWD: /bin/bash",
}


def who_is_shut_out(host):
    """in-force/32: konstruktoid/ansible-role-hardening#326: root by a rule alone."""
    host.run("useradd -m -s /bin/bash provadmin; useradd -m -s /bin/bash backup1")
    host.run("useradd -m -s /bin/bash idle; useradd -rm -s /bin/bash scan")
    host.run("groupadd team; for n in ops1 ops2 ops3; do useradd -m $n; done")
    host.run("gpasswd -a ops2 team; usermod -s /bin/bash ops1; usermod -u 4711 ops3")
    for name in ("provadmin", "backup1", "scan", *ROOTS):
        home = f"/home/{name}"
        host.run(
            f"install -d -o {name} {home}/.ssh; echo ssh-ed25519 x > {home}/.ssh/authorized_keys"
        )
    rule = "/etc/sudoers.d/provadmin"
    rules = ["provadmin ALL=(ALL) NOPASSWD:ALL", *ROOTS.values(), ""]
    host.write(rule, "\n".join(rules), 0o440)
    plan = manage(host, "plan --offline", "emis").stdout
    gone = "logs in here today, and over ssh will not after this run"
    for name, told in (("provadmin", 1), ("backup1", 1), ("scan", 1), ("idle", 0)):
        assert plan.count(f"note: {name} {gone}") == told, plan
    for name in ("provadmin", *ROOTS):
        assert f"{name} {gone}, though sudo lets them become root\n" in plan
    assert "the group researchers, which becomes ours, was here before" in plan
    done = manage(host, "--offline --yes", "emis")
    assert host.run("id rita", check=False).returncode
    refused(done, "becomes root by sudo today", "provider_accounts of emis")
    host.run(f"rm {rule}")
    assert "provadmin becomes" not in manage(host, "--offline", "emis").stderr


# ---- what else is in force


TMOUT = [
    # in-force/24: neutrinolabs/xrdp#2636, alivx/CIS-Ubuntu-20.04-Ansible#36
    ("autologout.sh", "readonly TMOUT=600\nexport TMOUT\n"),
    ("aaa.sh", "declare -xr TMOUT=600 2>/dev/null || readonly TMOUT=600\n"),
    # seapath/ansible#997, neutrinolabs/xrdp#2560
    ("99-tmout.sh", "TMOUT=600; readonly TMOUT; export TMOUT\n"),
    ("Z99-cis.sh", "readonly TMOUT=600 ; export TMOUT\n"),
]


@pytest.mark.parametrize(("name", "text"), TMOUT)
def test_an_idle_time_of_the_provider_s(host, name, text):
    host.write(f"/etc/profile.d/{name}", text)
    try:
        for shell in ("sh", "bash"):
            done = host.run(f"runuser -u ada -- {shell} -lc 'echo in $TMOUT'")
            assert (done.stdout, done.stderr) == ("in 600\n", ""), shell
    finally:
        host.run(f"rm /etc/profile.d/{name}")
    assert host.run("runuser -u ada -- sh -lc 'echo $TMOUT'").stdout == "900\n"


@pytest.mark.parametrize(
    "off",
    [
        "sysctl -qw net.ipv4.ip_forward=0",
        # moby/moby#47966: loaded anew after docker began
        "echo 'net.ipv4.ip_forward = 0' > /etc/sysctl.d/10-cis.conf; systemctl restart "
        "systemd-sysctl; rm /etc/sysctl.d/10-cis.conf",
        "echo 0 > /proc/sys/net/ipv4/conf/all/forwarding",
    ],
)
def test_containers_that_reach_nothing(host, off):
    """in-force/21: moby/moby#47966, captainzero93/security_harden_linux#10."""
    host.run(off)
    assert "net.ipv4.ip_forward is 0" in manage(host, "status", "emis").stdout
    assert manage(host, "--offline --only docker", "emis").returncode == 0
    assert host.run("sysctl -n net.ipv4.ip_forward").stdout == "1\n"
    assert "ip_forward" not in manage(host, "status", "emis").stdout


OPTS = "/etc/default/docker"
DOCKERD = "/run/systemd/system/docker.service.d/vendor.conf"
ANEW = "systemctl daemon-reload; systemctl restart docker"
MTU = {
    "its file": (
        "/etc/docker/daemon.json",
        "sed -i '0,/{/s//{\"mtu\": 1400,/' /etc/docker/daemon.json",
        "true",
    ),
    "an option": (OPTS, f"echo 'DOCKER_OPTS=\"--mtu=1400\"' >> {OPTS}", ANEW),
    "its other form": (OPTS, f"echo 'DOCKER_OPTS=\"--mtu 1400\"' >> {OPTS}", ANEW),
    # docker/for-linux#1426: what `systemctl edit` leaves
    "a drop-in": (
        OPTS,
        f"mkdir -p $(dirname {DOCKERD}); printf '[Service]\\nExecStart=\\nExecStart="
        f"/usr/sbin/dockerd -H fd:// --mtu=1400 $DOCKER_OPTS\\n' > {DOCKERD}",
        ANEW,
    ),
}


@pytest.mark.parametrize("how", one_of("how long packets are", *MTU))
def test_how_long_packets_are_on_every_network(host, how):
    """in-force/07: moby/moby#34981, moby/moby#28314."""
    path, change, heed = MTU[how]
    host.run(f"cp -a {path} /root/before; systemctl stop opensafely-jobrunner")
    host.run(f"{change}; {heed}")
    asked = "docker network inspect -f '{{json .Options}}' jobrunner-db"
    try:
        assert manage(host, "--offline --only docker", "emis").returncode in (0, 4)
        assert '"com.docker.network.driver.mtu":"1400"' in host.run(asked).stdout
        assert rests(host, "emis", "--offline --only docker")
    finally:
        host.run(f"cp -a /root/before {path}; rm -f {DOCKERD}; {heed}")
        host.run("docker network rm jobrunner-db")
        assert manage(host, "--offline", "emis").returncode in (0, 4)
    assert "mtu" not in host.run(asked).stdout


DATA_ROOT = {
    "its file": 'sed -i \'0,/{/s//{"data-root": "\\/data\\/docker",/\' /etc/docker/daemon.json',
    # microsoft/pai#1338: an option, in its older word too
    "--data-root": f"echo 'DOCKER_OPTS=\"--data-root=/data/docker\"' >> {OPTS}",
    "-g": f"echo 'DOCKER_OPTS=\"-g /data/docker\"' >> {OPTS}",
    # discourse/discourse_docker#284: a disk in its place
    "a mount": "mkdir -p /data/docker; mount --bind /data/docker /var/lib/docker",
}


@pytest.mark.parametrize("how", one_of("docker's folder", *DATA_ROOT))
def test_where_docker_keeps_what_it_has(host, how):
    """in-force/19: daytonaio/daytona#4683; of inodes, too, none is left there."""
    where = "/var/lib/docker" if how == "a mount" else "/data/docker"
    host.run(f"cp -a /etc/docker/daemon.json {OPTS} /root; mkdir -p /data")
    host.run("mount -t tmpfs -o size=64m,nr_inodes=60000 docker-data /data")
    stop = "systemctl stop opensafely-jobrunner docker.socket docker"
    anew = "systemctl reset-failed docker; systemctl start docker"
    host.run(f"{stop}; {DATA_ROOT[how]}; {anew}")
    try:
        host.run("head -c 70M /dev/zero > /data/fill || true")
        assert (
            f"the disk of {where}: 100 % in use"
            in manage(host, "status", "emis").stdout
        )
        assert f"{where}: 100 % in use" in manage(host, "host disk", "emis").stdout
    finally:
        host.run(
            f"{stop}; cp -a /root/daemon.json /etc/docker; cp -a /root/docker {OPTS}"
        )
        host.run("umount /var/lib/docker" if how == "a mount" else "true")
        host.run(f"umount -l /data; {anew} opensafely-jobrunner")
    assert "/data" not in manage(host, "host disk", "emis").stdout
