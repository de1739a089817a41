"""A host as providers hand it over: forty oddities at once, each from somebody's report or image.

A first run comes to a good end, or refuses with what to do; whoever does that, line by line,
gets there. Nothing that is the provider's own is lost on the way.
"""

from __future__ import annotations

import re

import pytest

from tests.hosts.managing import manage, rests
from tests.sampling import one_of


pytestmark = pytest.mark.share("in force")

ENOUGH = 8  # runs; each is told by the one before what to mend

# What stands in a file, or is done, before we come. The reference is that of the report.
FILES = {
    # libpwquality/libpwquality#60
    "/etc/security/pwquality.conf": "minlen = 8\nminclass = 1\ndictcheck = 0\n",
    # jnv/ansible-role-unattended-upgrades#78, and Ubuntu's own place for local settings
    "/etc/apt/apt.conf.d/02-provider-periodic": 'APT::Periodic::Enable "0";\n',
    "/etc/apt/apt.conf.d/99provider": 'APT::Periodic::Unattended-Upgrade "0";\n',
    "/etc/apt/apt.conf.d/52unattended-upgrades-local": (
        'Unattended-Upgrade::Automatic-Reboot "true";\n'
    ),
    # a vendor's archive that answers nobody here, and a pin on what is ours
    "/etc/apt/sources.list.d/vendor.list": (
        "deb [trusted=yes] http://127.0.0.1:9/vendor stable main\n"
    ),
    "/etc/apt/preferences.d/vendor": (
        "Package: tree\nPin: release *\nPin-Priority: -1\n"
    ),
    # docker/docs#20411, moby/moby#34981
    "/etc/systemd/system/docker.socket.d/override.conf": "[Socket]\nSocketMode=0666\n",
    "/etc/docker/daemon.json": '{"mtu": 1400, "log-opts": {"max-size": "5m"}}\n',
    # ansible/ansible#63733, chef-boneyard/sudo#4, konstruktoid/ansible-role-hardening#326
    "/etc/sudoers.d/99-provider": "Defaults rootpw\n",
    "/etc/sudoers.d/50-app": "%researchers ALL=(ALL) NOPASSWD: ALL\n",
    "/etc/sudoers.d/backup": "backup2 ALL=(ALL) NOPASSWD: /usr/bin/true, /bin/true\n",
    # moby/moby#47966, NixOS/nixpkgs#244892
    "/etc/sysctl.d/zzz-cis.conf": "net.ipv4.ip_forward = 0\nfs.suid_dumpable = 2\n",
    "/etc/systemd/journald.conf.d/storage.conf": "[Journal]\nStorage=volatile\n",
    "/etc/systemd/coredump.conf.d/zz.conf": "[Coredump]\nStorage=external\n",
    # alivx/CIS-Ubuntu-20.04-Ansible#36
    "/etc/profile.d/autologout.sh": "readonly TMOUT=600\nexport TMOUT\n",
    "/etc/profile.d/vendor.sh": "false\n",
    # cloud-init's own file, dev-sec/ansible-collection-hardening#426
    "/etc/ssh/sshd_config.d/50-cloud-init.conf": "PasswordAuthentication yes\n",
    "/etc/ssh/sshd_config.d/60-provider.conf": "AllowGroups provadmins developers\n",
    "/etc/ssh/sshd_config.d/10-provider.conf": "PermitRootLogin yes\n",
    "/etc/security/limits.d/zzz-provider.conf": "* hard core unlimited\n",
    "/etc/security/limits.d/99-nproc.conf": "* hard nproc 400\n",
    # konstruktoid/hardening#27, idaholab/Malcolm#214, systemd/systemd#2975
    "/etc/security/limits.d/90-fork.conf": "# fork bombs\n* soft nproc 50\n",
    "/etc/security/limits.d/90-logins.conf": "@researchers - maxlogins 0\n",
    "/etc/systemd/logind.conf.d/zz-cis.conf": "[Login]\nKillUserProcesses=yes\n",
    # supabase/postgres#488, Vanilla-OS/vanilla-system-operator#101
    "/etc/systemd/logind.conf.d/zz-db.conf": "[Login]\nRemoveIPC=no\n",
    "/etc/apt/apt.conf.d/50vendor-hook": 'DPkg::Post-Invoke {"/opt/vendor/hook";};\n',
    "/etc/nsswitch.conf": "passwd: files systemd\ngroup: files systemd\nshadow: files\nhosts: files dns\n",
    "/etc/cron.allow": "root\n",
    "/etc/motd": "Authorised users only\n",
    "/etc/issue.net": "Authorised users only\n",
    "/etc/hostname": "vm-0815\n",
}
DONE = r"""
# silogen/cluster-bloom#304
systemctl mask --now apt-daily-upgrade.timer apt-daily.timer
# fox-it/dissect.target#995, canonical/lxd#3901
echo 'legacy:x:::Old account:/home/legacy:/bin/sh' >>/etc/passwd
echo 'legacygrp:x::' >>/etc/group
echo 'legacy:*:never:0:99999:7:::' >>/etc/shadow
useradd --create-home backup2; groupadd researchers
printf 'gus:abc:65536\nlxd:100000:1000000000\n' | tee -a /etc/subuid >>/etc/subgid
# Azure/WALinuxAgent
echo '#includedir   /etc/sudoers.d/' >>/etc/sudoers
chmod 440 /etc/sudoers.d/*
# CIS images: pam_access, TCP wrappers for a management network
echo '-:ALL EXCEPT root developers ubuntu backup2:ALL' >>/etc/security/access.conf
sed -i '1i account required pam_access.so' /etc/pam.d/sshd
echo 'ALL: ALL' >>/etc/hosts.deny; echo 'sshd: 10.0.0.0/8 169.254.0.0/16' >>/etc/hosts.allow
sed -i 's/^UMASK.*/UMASK 077/' /etc/login.defs
printf '10.0.0.99 monitoring monitoring.provider.example\r\n' >>/etc/hosts
chattr +i /etc/resolv.conf
# left open by an installer
mkdir -p /srv/high_privacy /etc/opensafely; chmod 777 /srv/high_privacy /etc/opensafely
setfacl -d -m o::rwx /srv/high_privacy || true
# a vendor's agent, half installed, that cannot reach its server
mkdir -p /root/agent/DEBIAN; cd /root/agent/DEBIAN
printf 'Package: vendor-agent\nVersion: 1\nArchitecture: all\nMaintainer: x\nDescription: x\n' >control
printf '#!/bin/sh\necho cannot reach licence server >&2\nexit 1\n' >postinst; chmod 755 postinst
dpkg-deb --build /root/agent /root/agent.deb; dpkg --install /root/agent.deb || true
# elastic/detection-rules#2161, the other way round: so that nobody adds an account
chattr +i /etc/group /etc/gshadow || true  # trixie has none here
"""

# Stands for somebody in visudo's editor, who makes a comment of each line that was named.
EDITOR = "/root/takes-out"


def steps(said):
    """What stands after `try:`, as somebody would paste it."""
    return re.findall(r"(?:^ *|; )try: (.*)$", said, re.MULTILINE)


def follow(host, said):
    named = re.findall(r"^ *(/etc/sudoers\S*):(\d+):", said, re.MULTILINE)
    lines = "".join(f'[ "$f" = {path} ] && n="$n;{n}s/^/#/"\n' for path, n in named)
    script = f'#!/bin/bash\nf=${{@: -1}}; f=${{f%.tmp}}; n=\n{lines}sed -i "${{n#;}}" "${{@: -1}}"\n'
    host.write(EDITOR, script, 0o755)
    for step in steps(said):
        print(f"$ {step}")
        if step.startswith("apt-cache policy"):  # shows the pin; whose it is, decides
            step += "; rm /etc/apt/preferences.d/vendor"
        host.run(step, env={"EDITOR": EDITOR})


@pytest.mark.parametrize("release", one_of("image", "bookworm", "bullseye", "trixie"))
def test_a_first_run_comes_to_a_good_end(bare_host, release):
    host = bare_host(release)
    for path, text in FILES.items():
        host.run(f"mkdir -p $(dirname {path})")
        host.write(path, text)
    host.run(DONE)
    for _ in range(ENOUGH):
        done = manage(host, "--yes")
        said = done.stdout + done.stderr
        print(said)
        assert done.returncode in (0, 1, 2, 4)
        if done.returncode in (0, 4):
            break
        follow(host, said)
    assert rests(host)
    assert host.ssh("ada", host.people["ada"].key, "id -un").stdout == "ada\n"
    assert host.ssh(
        "rita", host.people["rita"].key, "sudo -n id", check=False
    ).returncode
    sudo = host.run("runuser -u backup2 -- sudo -n $(command -v true)", check=False)
    assert sudo.returncode == 0, sudo.stderr
    assert "monitoring.provider.example" in host.read("/etc/hosts")
    assert "legacy:x:::" in host.read("/etc/passwd")
    assert '"mtu": 1400' in host.read("/etc/docker/daemon.json")
    mtu = "docker network inspect --format '{{.Options}}' jobrunner-db"
    assert "mtu:1400" in host.run(mtu).stdout
    assert "TMOUT" not in host.run("runuser -l ada -c true").stderr
