"""What differs from one distribution's release to the next: one row each, nowhere else."""

from __future__ import annotations

from functools import partial
from typing import Mapping

from backend_server.text.errors import Refused
from backend_server.text.frozen import Frozen


# Where the kernel has AppArmor, no container starts without its parser: docker.io recommends it.
_DOCKER = ("apparmor", "docker.io")


class Xrdp(Frozen):
    """The remote desktop of a release, and what it has to keep sessions apart."""

    version: str
    # From 0.10 on: a folder of sockets for each uid; the session manager is asked by a socket and not over TCP; the
    # picture of a screen is a descriptor, and not System V shared memory that is everybody's.
    apart: bool
    private_ipc: bool = True  # systemd 248 has PrivateIPC=
    pam_net: bool = True  # a package has pam_newnet(8)
    pam_flags: bool = True  # pam_namespace (1.4) takes nosuid and nodev


class Release(Frozen):
    """A release that this tool knows, and where it keeps things."""

    version: str  # VERSION_ID of os-release(5)
    codename: str
    distribution: str  # ID
    archive: str  # path of the archive on a mirror
    security: str  # path of the security archive on its mirror
    areas: str  # parts of the archive that are used
    keyring: str
    motd_parts: tuple[str, ...]  # of /etc/update-motd.d, that are made silent
    xrdp: Xrdp
    hyperv: tuple[str, ...]  # a kernel, and the daemons of Hyper-V that go with it
    # Sources are in sources.list.d/NAME.sources; else in sources.list.
    deb822: bool = False
    docker: tuple[str, ...] = _DOCKER  # bring dockerd and the docker command
    sudo_logfile: bool = True  # sudo-rs writes to the system log only
    subids: bool = False  # useradd (shadow 4.8) makes nobody without subordinate ids

    @property
    def qt(self) -> str:
        """The browser's engine that a window is made of: PyQt6 has it since subids are gone."""
        return f"python3-pyqt{5 if self.subids else 6}.qtwebengine"

    @property
    def asks_for_userns(self) -> bool:
        """Whether only programs with a profile may make user namespaces: Ubuntu since 23.10."""
        return self.distribution == "ubuntu" and self.deb822

    @property
    def rsa_size(self) -> bool:
        """Whether sshd knows RequiredRSASize: OpenSSH 9.1 is as young as a useradd without subids."""
        return not self.subids

    @property
    def utmp(self) -> bool:
        """Whether logins are written to utmp(5): systemd left that as xrdp came to 0.10."""
        return not self.xrdp.apart

    @property
    def name(self) -> str:
        return f"{self.distribution} {self.version}"

    @property
    def suites(self) -> tuple[str, ...]:
        return (self.codename, f"{self.codename}-updates")

    @property
    def security_suite(self) -> str:
        return f"{self.codename}-security"


_APART = Xrdp("0.10.1", apart=True)


def _together(version: str, *has: bool) -> Xrdp:
    return Xrdp(version, False, *has)


_ubuntu = partial(
    Release,
    distribution="ubuntu",
    archive="ubuntu",
    security="ubuntu",
    areas="main restricted universe multiverse",
    keyring="/usr/share/keyrings/ubuntu-archive-keyring.gpg",
    motd_parts=(
        *("10-help-text", "50-motd-news", "85-fwupd", "88-esm-announce"),
        *("91-contract-ua-esm-status", "91-release-upgrade", "95-hwe-eol"),
    ),
    # The kernel of the plain cloud image. The daemons' programs go by the kernel that
    # runs, so all are of one kind; cifs.ko is in it, and in azure's at times is not.
    hyperv=("linux-virtual", "linux-cloud-tools-virtual", "linux-tools-virtual"),
)
_debian = partial(
    Release,
    distribution="debian",
    archive="debian",
    security="debian-security",
    areas="main",
    keyring="/usr/share/keyrings/debian-archive-keyring.gpg",
    motd_parts=("10-uname",),
    hyperv=("linux-image-cloud-amd64", "hyperv-daemons"),
)


RELEASES = (
    _ubuntu(
        "20.04", "focal", xrdp=_together("0.9.12", False, False, False), subids=True
    ),
    _ubuntu("22.04", "jammy", xrdp=_together("0.9.17"), subids=True),
    _ubuntu("24.04", "noble", deb822=True, xrdp=_together("0.9.24")),
    _ubuntu("26.04", "resolute", deb822=True, xrdp=_APART, sudo_logfile=False),
    _debian("11", "bullseye", xrdp=_together("0.9.21", False), subids=True),
    _debian("12", "bookworm", xrdp=_together("0.9.21")),
    # There the command is a package of its own, which docker.io only recommends.
    _debian("13", "trixie", deb822=True, xrdp=_APART, docker=(*_DOCKER, "docker-cli")),
)


def of_host(os_release: Mapping[str, str]) -> Release:
    """The row of the host whose os-release(5) this is. Raises Refused where there is none."""
    found = f"{os_release.get('ID', 'unknown')} {os_release.get('VERSION_ID', '')}"
    return named(found.strip())


def named(name: str) -> Release:
    """The row of `ubuntu 24.04`, `24.04` or `noble`. Raises Refused where there is none."""
    for release in RELEASES:
        if name.lower() in (release.name, release.version, release.codename):
            return release
    known = ", ".join(release.name for release in RELEASES)
    hint = "install one of these, or add a row to backend_server/text/releases.py"
    raise Refused(f"this is {name}; wanted one of {known}", hint)
