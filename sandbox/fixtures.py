"""Ways to bend a Debian host into the shape of a cloud's Ubuntu.

All but the last are for a host that has not booted yet: `bare(shape=[ubuntu_user])`.
"""

from __future__ import annotations

import time

from sandbox import people
from sandbox.host import Host


def cloud_init_sshd(host: Host) -> None:
    """sshd has the drop-in of cloud images, which lets passwords in."""
    drop_in = "etc/ssh/sshd_config.d/50-cloud-init.conf"
    host.write(drop_in, "PasswordAuthentication yes\n", 0o600)


def ubuntu_user(host: Host) -> None:
    """The provider's account is there: in group sudo, no password, a key of its own.

    The key is that of `host.people["ubuntu"]`.
    """
    host.chroot("useradd", "-m", "-s", "/bin/bash", "-G", "sudo", "ubuntu")
    rule = "ubuntu ALL=(ALL) NOPASSWD:ALL\n"
    host.write("etc/sudoers.d/90-cloud-init-users", rule, 0o440)
    folder = host.lab.runtime / f"provider-{host.name}"
    provider = people.make(folder, ["ubuntu"])
    host.write("home/ubuntu/.ssh/authorized_keys", f"{provider['ubuntu'].public_key}\n")
    host.chroot("chown", "-R", "ubuntu:ubuntu", "/home/ubuntu/.ssh")
    host.people = {**host.people, **provider}


def quiet_timer(host: Host) -> None:
    """What takes away access, and what looks for images, never begins in the midst of a test."""
    # Once a day is the least that a host is let do.
    hour = (time.gmtime().tm_hour + 12) % 24
    for unit in ("opensafely-people", "opensafely-follow@jobrunner"):
        drop_in = f"etc/systemd/system/{unit}.timer.d/quiet.conf"
        text = f"[Timer]\nOnCalendar=\nOnCalendar=*-*-* {hour:02}:00:00 UTC\n"
        host.write(drop_in, text)


def hurried(host: Host) -> None:
    """The job-runner asks for work every half second, and a test need not wait so long."""
    host.write("etc/opensafely/env/04_local.env", "JOB_LOOP_INTERVAL=0.5\n", 0o600)


def ssh_socket(host: Host) -> None:
    """sshd is started by a connection, as on 24.04: ssh.service is not enabled."""
    host.chroot("systemctl", "--quiet", "disable", "ssh.service")
    host.chroot("systemctl", "--quiet", "enable", "ssh.socket")


def cloud_init_hosts(host: Host) -> None:
    """The template is there from which cloud-init writes /etc/hosts at each boot."""
    lines = (
        "## template:jinja",
        "127.0.1.1 {{fqdn}} {{hostname}}",
        "127.0.0.1 localhost",
    )
    host.write("etc/cloud/templates/hosts.debian.tmpl", "\n".join(lines) + "\n")


def needrestart(host: Host) -> None:
    """needrestart is installed, and would ask what to restart; for a booted host."""
    install = "apt-get -qq -y install needrestart"
    host.run(f"apt-get -qq update && DEBIAN_FRONTEND=noninteractive {install}")
