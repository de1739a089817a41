"""Who may do what: the one table that access is rendered from and tested against."""

from __future__ import annotations

from typing import Literal

from backend_server.text.frozen import Frozen


DEVELOPERS = "developers"
RESEARCHERS = "researchers"
REVIEWERS = "reviewers"
OPENSAFELY = "opensafely"  # the service account that runs jobs, and its group
DOCKER = "docker"  # the group that may use docker: the service account, nobody else
RELEASE = "opensafely-release"  # the account reviewers release files through

# Accounts we made carry this group for ever, so that leavers are found from the host
# itself and nobody else's account is touched.
MARKER = "opensafely-people"

# Accounts of ours in no role with sudo: no program acts as root for them, and they write no
# logs of the host's. One group can be refused a file by its mode, a role's absence cannot.
UNPRIVILEGED = "opensafely-unprivileged"

# Container images have these numbers baked in, so they are the same on every host.
REVIEWERS_GID = 10010
OPENSAFELY_ID = 10000  # uid and gid

# Being in one of these is being root, or reading what only root should: their members
# are exactly the declared ones, as for our own groups.
ROOT_EQUIVALENT_GROUPS = frozenset(
    {
        # may become root by asking: sudoers of Debian, Ubuntu, cloud images; run0
        *("root", "sudo", "admin", "wheel", "google-sudoers", "empower"),
        # may start a container or machine that mounts the host's /
        *(DOCKER, "lxd", "incus", "incus-admin", "libvirt", "kvm"),
        # may read or write below the file system, or password hashes
        *("disk", "kmem", "shadow"),
        # may write /usr/local, which comes first in root's PATH
        "staff",
        # may read every log, sudo's and the journal included
        *("adm", "systemd-journal"),
    }
)

# Parts of the data trees. metadata is the manifest and metadata/ of a workspace under
# medium privacy: evidence, so nobody but the service writes it. requests is Airlock's.
HIGH = "high"
MEDIUM = "medium"
METADATA = "metadata"
REQUESTS = "requests"
AREAS = (HIGH, MEDIUM, METADATA, REQUESTS)


class Role(Frozen):
    """What the members of a group may do on a host.

    What is not granted here is refused. A person in several groups may do what any of
    them may, save that no network in one is no network at all.
    """

    name: str
    group: str
    login: Literal["ssh", "rdp", "none"]
    network: bool  # may open connections of their own to other machines
    sudo: bool = False
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()  # create, change and delete
    roster: str | None = None  # base name of the file that lists them; None: no people


ROLES = (
    # Reads nothing standing: who needs to look uses sudo, and that leaves a line.
    Role("developer", DEVELOPERS, "ssh", network=True, sudo=True, roster="developers"),
    Role(
        "researcher",
        RESEARCHERS,
        "ssh",
        network=True,
        reads=(HIGH,),
        roster="researchers",
    ),
    # Outputs leave by the release desk only.
    Role(
        "reviewer",
        REVIEWERS,
        "rdp",
        network=False,
        reads=(MEDIUM, METADATA),
        writes=(MEDIUM,),
        roster="reviewers",
    ),
    Role("service", OPENSAFELY, "none", network=True, reads=AREAS, writes=AREAS),
)
