"""What setfacl does with a list, and what a list does: on real file systems."""

import os
import socket
import subprocess

import pytest

from backend_server.engine.engine import component, plan, walk
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.resources import Acl, Directory, Group
from backend_server.storage.component import storage
from backend_server.text.acl import ACCESS, DEFAULT
from backend_server.text.errors import CommandFailed, Refused
from tests.contract.conftest import mount


FOLDER = "/var/lib/contract"
LIST = frozenset({"user::rwx", "group::rwx", "group:mail:rwx", "mask::rwx"}) | {
    "other::---"
}


def make(*resources):
    host = Host()
    for resource in resources:
        changes = resource.check(host)
        resource.apply(host, changes)
    return host


def test_files_are_born_with_it_whatever_the_umask():
    make(Directory(FOLDER, mode=0o2770), Acl(FOLDER, default=LIST))
    for umask in (0o022, 0o077):
        os.umask(umask)
        path = f"{FOLDER}/{umask}"
        os.close(os.open(path, os.O_CREAT, 0o666))
        assert os.stat(path).st_mode & 0o777 == 0o660


def test_a_directory_takes_no_list_over_from_the_one_it_is_in():
    """A plan cannot see it coming, and nobody declared it."""
    host = make(
        Directory(FOLDER),
        Acl(FOLDER, default=LIST),
        Directory(f"{FOLDER}/inside", mode=0o750),
    )
    for kind in (ACCESS, DEFAULT):
        assert host.acl(f"{FOLDER}/inside", kind) == frozenset()
    assert os.stat(f"{FOLDER}/inside").st_mode & 0o7777 == 0o750


@pytest.mark.parametrize("lay", [True, False], ids=["there", "yet to come"])
def test_a_file_system_without_lists_is_refused_before_anything_is_touched(place, lay):
    os.mkdir(FOLDER)
    mount("-t", "ramfs", "ramfs", FOLDER)
    path = FOLDER if lay else f"{FOLDER}/on/the/way"
    with pytest.raises(Refused, match="without access control lists"):
        Acl(path, default=LIST).check(HostReader())
    assert os.listdir(FOLDER) == []


def test_names_that_do_not_exist_yet_are_no_error():
    make(Directory(FOLDER))
    wanted = LIST | {"group:contract:r-x"}
    resource = Acl(FOLDER, default=wanted)
    assert [c.field for c in resource.check(HostReader())] == ["default"]
    make(Group("contract"), resource)
    assert resource.check(HostReader()) == ()


def test_a_link_is_not_followed(place):
    make(Directory(FOLDER), Directory(f"{FOLDER}/outside"))
    os.symlink(f"{FOLDER}/outside", f"{FOLDER}/link")
    resource, host = Acl(f"{FOLDER}/link", default=LIST), Host()
    with pytest.raises(CommandFailed, match="setfacl"):
        resource.apply(host, resource.check(host))
    assert host.acl(f"{FOLDER}/outside", DEFAULT) == frozenset()


def test_a_socket(place):
    """As init's, which nobody can open as a file."""
    make(Directory(FOLDER))
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"{FOLDER}/socket")
    resource = Acl(f"{FOLDER}/socket", access=LIST)
    make(resource)
    assert resource.check(HostReader()) == ()


def trees(site):
    """The declaration of the trees, without units: there is no systemd here."""
    parts = [r for r in storage(site("emis", "noble")) if type(r) in (Directory, Acl)]
    return [component("storage", parts)]


def lay_groups():
    make(Group("researchers"), Group("reviewers", gid=10010))
    service = ("--home-dir", "/home/opensafely", "--uid", "10000", "opensafely")
    subprocess.run(["useradd", "--user-group", *service], check=True)


def shown(outcomes):
    return [(o.resource.label, o.changes, o.error) for o in outcomes if o.changes]


@pytest.mark.parametrize("lost", ["all", "requests", "workspaces", "list"])
def test_apply_does_what_plan_said_whatever_was_lost(site, lost, place):
    parts = trees(site)
    lay_groups()
    top = place / "srv"
    top.mkdir()
    mount("--bind", top, "/srv")
    if lost != "all":
        assert all(o.error is None for o in walk(parts, Host()))
    if lost == "requests":
        os.rmdir("/srv/medium_privacy/requests")
    if lost == "workspaces":
        os.rmdir("/srv/high_privacy/workspaces")
    if lost == "list":
        os.removexattr("/srv/high_privacy", DEFAULT)
    planned = shown(plan(parts, HostReader()))
    assert planned
    assert shown(walk(parts, Host())) == planned
    assert shown(plan(parts, HostReader())) == []
