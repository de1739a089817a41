"""What must hold for every noun, whatever it is, with the commands it really runs.

Nouns that need systemd or apt have their samples in tests/hosts/test_contract.py.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from backend_server.access.revoked_keys import RevokedKeys
from backend_server.access.sudoers import SuOnlyFor
from backend_server.airlock.page import Certificate
from backend_server.base.hosts_block import HostsBlock
from backend_server.base.roots_files import RootsFiles
from backend_server.base.setting import LoginDefs, NameServers, NameSources, Sysctl
from backend_server.checkout.keys import KEY_FOLDER as KEYS
from backend_server.checkout.keys import Key
from backend_server.checkout.service import ENV_FOLDER, PAGE, SECRETS
from backend_server.engine.resource import AtPath, Resource
from backend_server.host import revoked
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.outputs.mount import MountPoint
from backend_server.people.authorized_keys import (
    AuthorizedKeys,
    NoOtherKeys,
    OnlyTheseKeys,
)
from backend_server.resources import (
    Acl,
    Directory,
    File,
    FileMode,
    Group,
    Members,
    NoFile,
    NotMembers,
    OperatorsFile,
    RootEquivalent,
    SecretKey,
    User,
)
from backend_server.text.change import Changes, compare
from backend_server.text.errors import Refused
from tests.contract.nouns import nouns


ON_BOOTED_HOSTS = {
    "Automount",
    "ContainerService",
    "DaemonJson",
    "DockerNetwork",
    "DockerRules",
    "DockerSocket",
    "Held",
    "Inbound",
    "Leavers",
    "LostRoles",
    "Masked",
    "NftTable",
    "NoPackages",
    "NoSuid",
    "OwnCertificate",
    "PackageLists",
    "Packages",
    "PamProfile",
    "RemoteDesktop",
    "RootsSocket",
    "SetUserId",
    "SshdConfig",
    "Sudoers",
    "Unit",
    "UnitFile",
}


@dataclass(frozen=True)
class Sample:
    """A resource that differs on a host where GIVEN, and nothing else, was done before."""

    resource: Resource
    given: tuple[Resource, ...] = ()


class Link(AtPath):
    """No noun of ours, but what is found in the place of one."""

    target: str

    def check(self, host: HostReader) -> Changes:
        return compare(target=(host.link(self.path), self.target))

    def apply(self, host: Host, changes: Changes) -> None:
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        os.symlink(self.target, self.path)


BLOCK = "192.0.2.7 jobs.example\n"
FOLDER = "/var/lib/contract"
MARKER = Group("contract-people")
ADA = User("ada", home="/home/ada", marker="contract-people")
GRACE = User("grace", home="/home/grace")
STAFF = (MARKER, ADA, GRACE)

ADAS = Key(
    "ssh-ed25519",
    "AAAAC3NzaC1lZDI1NTE5AAAAIKToJWX0fvGLQJZYJEnkl0aWAMt3MpfBnIy5lgjRCxQC",
)
GRACES = Key(
    "ssh-ed25519",
    "AAAAC3NzaC1lZDI1NTE5AAAAID9nVT1XWkWJFr8b+O94RDOsyypt/Hrk5joP5yPmLGvN",
)
KEY_FOLDER = OnlyTheseKeys(KEYS, users=frozenset({"ada"}))

REVOKED = File(
    revoked.LIST,
    json.dumps(
        {
            "subject": "grace",
            "fingerprints": [GRACES.fingerprint],
            "when": "2027-01-15T00:00:00Z",
            "who": "ada",
            "why": "a laptop was stolen",
        }
    )
    + "\n",
)

LIST = frozenset(
    ("user::rwx", "group::r-x", "group:mail:rwx", "user:daemon:r-x", "mask::rwx")
    + ("other::---",)
)
OTHER_LIST = frozenset(("user::rwx", "group::rwx", "other::r-x"))

STUB = "../run/systemd/resolve/stub-resolv.conf"

ABSENT = [
    Sample(Acl(FOLDER, default=LIST), (Directory(FOLDER, mode=0o2750),)),
    Sample(Acl(FOLDER, default=LIST, access=LIST), (Directory(FOLDER),)),
    Sample(AuthorizedKeys("ada", (ADAS, GRACES)), (KEY_FOLDER,)),
    Sample(AuthorizedKeys("ada", (ADAS,), github=(ADAS, GRACES)), (KEY_FOLDER,)),
    Sample(Certificate("a.example"), (Directory(PAGE), Group("opensafely"))),
    Sample(SecretKey("CONTRACT_KEY"), (Directory(ENV_FOLDER), File(SECRETS, ""))),
    Sample(Directory(FOLDER, mode=0o2770, owner="daemon", group="mail")),
    Sample(Directory(f"{FOLDER}/on/the/way")),
    Sample(File(f"{FOLDER}/text", "a\nb\n", mode=0o640, owner="daemon", group="mail")),
    Sample(File(f"{FOLDER}/checked", "a\n", validate=("grep", "a"), notify=("x",))),
    Sample(File(f"{FOLDER}/\udce9", "bytes: \udcff\n")),
    Sample(Group("contract")),
    Sample(Group("contract", gid=10010)),
    Sample(HostsBlock("/etc/hosts", BLOCK)),
    Sample(HostsBlock(f"{FOLDER}/hosts", BLOCK)),
    Sample(LoginDefs("CONTRACT", "yes")),
    Sample(Members("contract", frozenset({"ada"})), (Group("contract"), *STAFF)),
    Sample(NameSources("contract", ("files", "db"))),
    Sample(KEY_FOLDER),
    Sample(MountPoint("/etc/contract")),
    Sample(MountPoint("/etc/contract"), (Directory("/etc/contract"),)),
    Sample(OperatorsFile(f"{FOLDER}/secrets", "# NAME=value\n")),
    Sample(RevokedKeys(f"{FOLDER}/revoked")),
    Sample(RootEquivalent("staff", frozenset({"ada"}), frozenset(), "x"), STAFF),
    Sample(SuOnlyFor("staff")),
    Sample(Sysctl("kernel.domainname", "contract.example")),
    Sample(ADA, (MARKER,)),
    Sample(User("ada", home="/home/ada", expires="2999-12-31")),
    Sample(User("ada", home="/home/ada", expires="never")),
    Sample(
        User("agent", home="/srv/agent", uid=10000, comment="it runs", shell="/bin/sh"),
        (Group("agent", gid=10000),),
    ),
]

DRIFTED = [
    Sample(Acl(FOLDER), (Directory(FOLDER), Acl(FOLDER, default=LIST, access=LIST))),
    Sample(
        Acl(FOLDER, default=OTHER_LIST),
        (Directory(FOLDER), Acl(FOLDER, default=LIST, access=LIST)),
    ),
    Sample(
        AuthorizedKeys("ada", (ADAS,)),
        (KEY_FOLDER, AuthorizedKeys("ada", (ADAS, GRACES))),
    ),
    Sample(AuthorizedKeys("ada"), (KEY_FOLDER, AuthorizedKeys("ada", (ADAS,)))),
    Sample(
        AuthorizedKeys("ada", (ADAS,), github=(GRACES,)),
        (KEY_FOLDER, AuthorizedKeys("ada", (GRACES,)), REVOKED),
    ),
    Sample(
        NoOtherKeys("ada", frozenset({ADAS})),
        (KEY_FOLDER, AuthorizedKeys("ada", (ADAS, GRACES))),
    ),
    Sample(
        NoOtherKeys("ada", frozenset()),
        (KEY_FOLDER, AuthorizedKeys("ada", (ADAS, GRACES))),
    ),
    Sample(
        NotMembers("contract", frozenset({"ada", "rita"})),
        (Group("contract"), *STAFF, Members("contract", frozenset({"ada", "grace"}))),
    ),
    Sample(
        Members("contract", frozenset({"ada"})),
        (Group("contract"), *STAFF, Members("contract", frozenset({"grace"})), REVOKED),
    ),
    Sample(RevokedKeys(f"{FOLDER}/r"), (RevokedKeys(f"{FOLDER}/r"), REVOKED)),
    Sample(RevokedKeys(f"{FOLDER}/r"), (File(f"{FOLDER}/r", "something else\n"),)),
    Sample(
        AuthorizedKeys("ada", (ADAS,)),
        (KEY_FOLDER, File(f"{KEYS}/ada", "no key\n", mode=0o666, owner="daemon")),
    ),
    Sample(
        AuthorizedKeys("ada", (ADAS,)),
        (KEY_FOLDER, Link(f"{KEYS}/ada", "/home/ada/.ssh/authorized_keys")),
    ),
    Sample(
        Directory(FOLDER, mode=0o750),
        (Directory(FOLDER, mode=0o2777, owner="daemon", group="mail"),),
    ),
    Sample(
        Certificate("a.example"),
        (Directory(PAGE), Group("opensafely"), Certificate("b.example")),
    ),
    Sample(
        SecretKey("CONTRACT_KEY"),
        (Directory(ENV_FOLDER), File(SECRETS, "A=1\nCONTRACT_KEY=\nB=2\n")),
    ),
    Sample(File(f"{FOLDER}/f", "new\n"), (File(f"{FOLDER}/f", "old\n"),)),
    Sample(
        File(f"{FOLDER}/f", "same\n"),
        (File(f"{FOLDER}/f", "same\n", mode=0o777, owner="daemon", group="mail"),),
    ),
    Sample(File(f"{FOLDER}/f", "new\n"), (Link(f"{FOLDER}/f", "/etc/hostname"),)),
    Sample(
        OperatorsFile(f"{FOLDER}/secrets", "# NAME=value\n"),
        (File(f"{FOLDER}/secrets", "A=1\n", mode=0o644, owner="daemon"),),
    ),
    Sample(FileMode("/etc/login.defs", 0o600)),
    Sample(
        RootsFiles("edited", frozenset({f"{FOLDER}/f"})),
        (File(f"{FOLDER}/f", "", owner="daemon"), File(f"{FOLDER}/f", "", mode=0o666)),
    ),
    Sample(
        FileMode(f"{FOLDER}/f", 0o644),
        (File(f"{FOLDER}/f", "", mode=0o755, owner="daemon", group="mail"),),
    ),
    Sample(
        HostsBlock("/etc/hosts", BLOCK), (HostsBlock("/etc/hosts", "::1 old.example"),)
    ),
    Sample(LoginDefs("UMASK", "027"), (LoginDefs("UMASK", "000"),)),
    Sample(NameSources("hosts", ("files",)), (NameSources("hosts", ("dns", "files")),)),
    Sample(
        Members("staff", frozenset({"ada"})),
        (*STAFF, Members("staff", frozenset({"grace", "daemon"}))),
    ),
    Sample(NameServers(), (NoFile("/etc/resolv.conf"), Link("/etc/resolv.conf", STUB))),
    Sample(NameServers(), (File("/etc/resolv.conf", "nameserver 127.0.0.53\n"),)),
    Sample(NoFile("/etc/login.defs")),
    Sample(KEY_FOLDER, (Directory(KEYS, mode=0o777, owner="daemon"),)),
    Sample(
        KEY_FOLDER,
        (KEY_FOLDER, File(f"{KEYS}/gone", ""), Link(f"{KEYS}/link", "/etc/shadow")),
    ),
    Sample(SuOnlyFor("mail"), (SuOnlyFor("staff"),)),
    Sample(NoFile(f"{FOLDER}/l"), (Link(f"{FOLDER}/l", "nowhere"),)),
    Sample(
        RootEquivalent("staff", frozenset(), frozenset({"grace"}), "contract-people"),
        (*STAFF, Members("contract-people", frozenset({"ada"})))
        + (Members("staff", frozenset({"ada", "grace", "daemon"})),),
    ),
    Sample(
        User("ada", home="/home/ada", comment="new", shell="/bin/sh"),
        (User("ada", home="/home/ada", comment="old"),),
    ),
    Sample(
        User("ada", home="/home/ada", expires="never"),
        (User("ada", home="/home/ada", expires="1970-01-01"),),
    ),
    Sample(
        User("ada", home="/home/ada", expires="2999-12-31"),
        (User("ada", home="/home/ada", expires="never"),),
    ),
]

SAMPLES = ABSENT + DRIFTED


def test_every_noun_has_a_sample():
    here = {type(sample.resource).__name__ for sample in SAMPLES}
    assert here | ON_BOOTED_HOSTS == nouns().keys()
    assert not here & ON_BOOTED_HOSTS


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: str(sample.resource))
def test_contract(sample, snapshot):
    host, resource = Host(), sample.resource
    for before in sample.given:
        before.apply(host, before.check(host))

    untouched = snapshot()
    changes = resource.check(HostReader())
    assert changes, "it differs, and that is no error"
    assert resource.check(host) == changes, "what is remembered says the same"
    assert snapshot() == untouched, "a look touches nothing"
    assert {c.field for c in changes} <= {*resource._fields}
    assert all(c.before != c.after or resource.secret for c in changes)

    resource.apply(host, changes)
    assert resource.check(host) == (), "it converges"
    assert resource.check(HostReader()) == ()
    assert left_behind(snapshot()) == []

    again = eval(repr(resource))
    assert (again, hash(again)) == (resource, hash(resource)), "it is a plain value"
    assert resource.owns()


def left_behind(files):
    return [path for path in files if path.endswith(".tmp")]


def test_a_file_that_nobody_brought_needs_no_mode():
    assert FileMode("/etc/contract", 0o600).check(HostReader()) == ()


def test_a_folder_of_keys_that_is_a_file_is_for_a_person_to_move(place):
    path = place / "keys"
    path.touch()
    with pytest.raises(Refused, match="is no directory"):
        OnlyTheseKeys(str(path)).check(HostReader())


def test_a_mode_is_set_whoever_has_the_file(place):
    """A package that is gone leaves files whose owner has no name any more."""
    host, path = Host(), place / "orphan"
    path.touch(mode=0o755)
    os.chown(path, 4242, 4343)
    resource = FileMode(str(path), 0o644)
    resource.apply(host, resource.check(host))
    found = path.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (4242, 4343, 0o644)


def test_a_kernel_that_is_not_this_hosts_is_left_alone():
    """As in a container, where /proc/sys is read-only."""
    for options in (["--bind"], ["-o", "remount,bind,ro"]):
        subprocess.run(["mount", *options, "/proc/sys", "/proc/sys"], check=True)
    resource = Sysctl("kernel.domainname", "contract.example")
    assert resource.check(HostReader()) == ()
    assert Sysctl("no.such.parameter", "1").check(HostReader()) == ()


def test_a_mount_point_holds_against_root_and_is_not_looked_at_once_mounted():
    resource, host = MountPoint("/etc/contract"), Host()
    resource.apply(host, resource.check(host))
    with pytest.raises(PermissionError):
        Path("/etc/contract/lost").touch()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/etc/contract"], check=True)
    os.chmod("/etc/contract", 0o777)
    Path("/etc/contract/there").touch()
    assert resource.check(host) == ()
    subprocess.run(["umount", "/etc/contract"], check=True)
    assert resource.check(host) == ()


def test_a_mount_point_with_something_in_it_is_refused():
    host = Host()
    host.write("/etc/contract/lost", "an output", 0o600)
    with pytest.raises(Refused, match="has something in it"):
        MountPoint("/etc/contract").check(host)


def test_an_optional_hosts_file_may_be_missing():
    resource = HostsBlock("/etc/contract", BLOCK, optional=True)
    assert resource.check(HostReader()) == ()


def test_what_an_operator_wrote_is_closed_and_kept():
    path, host = f"{FOLDER}/secrets", Host()
    text = "# of ours\nA='1' \udcff\n"
    host.write(path, text, 0o640, "daemon", "mail")
    resource = OperatorsFile(path, "# another header\n")
    changes = resource.check(host)
    assert "open to others: its secrets may be known" in str(changes)
    assert "A=" not in str(changes)
    resource.apply(host, changes)
    assert host.read(path) == text
    host.write(path, text, 0o400)
    assert "open to others" not in str(resource.check(host))
