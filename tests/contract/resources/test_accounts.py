"""Accounts and groups, made by the real useradd, groupadd and gpasswd."""

import os
import subprocess
from pathlib import Path

import pytest

from backend_server.base.hosts_block import HostsBlock
from backend_server.base.setting import LoginDefs
from backend_server.engine import engine
from backend_server.engine.engine import component
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.people.component import people
from backend_server.resources import Group, Members, RootEquivalent, User
from backend_server.text.errors import Refused
from backend_server.text.roles import MARKER
from tests.unit.example import BACKENDS


ADA = User("ada", home="/home/ada")
OURS = User("ada", home="/home/ada", marker=MARKER)
LOGIN_DEFS = Path("/etc/login.defs")
HOSTS = Path("/etc/hosts")


def apply(*resources):
    host = Host()
    for resource in resources:
        resource.apply(host, resource.check(host))


def exactly(group, *users):
    return RootEquivalent(group, frozenset(users), frozenset({"ubuntu"}), MARKER)


# What is there; what is declared; the words that say why a person must decide.
REFUSED = [
    ([Group("a", gid=4000)], Group("a", gid=4001), "has gid 4000, not 4001"),
    ([Group("a", gid=4000)], Group("b", gid=4000), "gid 4000, which is a's"),
    ([], Group("a", gid=0), "gid 0, which is root's"),
    ([Group(MARKER), Group("ada")], OURS, "a group ada is there"),
    ([ADA], User("ada", home="/home/ada", uid=4000), "has uid 1000, not 4000"),
    ([ADA, Group("b")], User("b", home="/b", uid=1000), "uid 1000, which is ada's"),
    ([ADA, Members("staff", frozenset({"ada"}))], exactly("staff"), "ada is in group"),
]


@pytest.mark.parametrize(("given", "resource", "why"), REFUSED)
def test_a_person_decides(given, resource, why):
    apply(*given)
    with pytest.raises(Refused, match=why) as refused:
        resource.check(HostReader())
    assert refused.value.hint


@pytest.mark.parametrize(
    "resource", [Members("staff", frozenset()), exactly("staff")], ids=str
)
def test_a_primary_group_is_a_membership_too(resource):
    apply(ADA)
    Host().run("usermod", "--gid", "staff", "ada")
    with pytest.raises(Refused, match="primary group of ada"):
        resource.check(HostReader())


def test_root_equivalent_leaves_the_system_and_the_provider_alone():
    apply(Group(MARKER), OURS, User("ubuntu", home="/home/ubuntu"))
    apply(Members("staff", frozenset({"daemon", "ubuntu", "ada"})))
    apply(exactly("staff"))
    assert HostReader().members("staff") == {"daemon", "ubuntu"}


def test_root_equivalent_of_a_group_that_is_not_there():
    assert exactly("contract").check(HostReader()) == ()


def test_an_account_is_locked_from_birth_and_has_its_own_closed_group():
    apply(Group(MARKER), LoginDefs("HOME_MODE", "0750"), OURS)
    host = HostReader()
    assert host.shadow()["ada"].password == "!"
    assert host.members(MARKER) == {"ada"}
    assert host.group_name(host.users()["ada"].gid) == "ada"
    assert Path("/home/ada").stat().st_mode & 0o777 == 0o750


def test_an_account_that_is_here_already_is_adopted():
    apply(Group(MARKER), ADA)
    assert [change.field for change in OURS.check(HostReader())] == ["marker"]
    apply(OURS)
    assert HostReader().members(MARKER) == {"ada"}


def test_a_home_that_somebody_left_behind_is_not_given_to_a_namesake():
    Path("/home/ada").mkdir()
    with pytest.raises(Refused, match="/home/ada"):
        ADA.check(HostReader())


def test_a_home_that_is_gone_is_made_again():
    apply(ADA)
    Path("/home/ada").rename("/home/gone")
    apply(ADA)
    assert Path("/home/ada").stat().st_uid == HostReader().users()["ada"].uid
    assert Path("/home/ada").stat().st_mode & 0o777 == 0o750


def test_a_home_of_another_is_not_passed_over():
    """Put right or Refused: somebody else could read and change what ada has there."""
    apply(ADA)
    os.chown("/home/ada", 4242, 4242)
    try:
        apply(ADA)
    except Refused:
        return
    assert Path("/home/ada").stat().st_uid == HostReader().users()["ada"].uid


def test_a_home_that_is_a_link_is_a_persons_business():
    """What it points to may be anything: its mode is not ours to change."""
    apply(ADA)
    Path("/home/ada").rename("/home/gone")
    Path("/home/ada").symlink_to("/etc")
    before = Path("/etc").stat().st_mode
    with pytest.raises((Refused, OSError)):
        apply(ADA)
    assert Path("/etc").stat().st_mode == before


@pytest.mark.parametrize("sources", ["", "passwd: files systemd\n"])
def test_a_name_without_an_account_waits_in_no_root_equivalent_group(sources):
    """The next account of that name would be root at once."""
    mallory_in_staff(sources)
    apply(exactly("staff"))
    assert "mallory" not in HostReader().members("staff")


def test_a_name_whose_source_may_be_away_is_a_person_s_business():
    """There is no sssd here to answer; its people would be locked out while it is down."""
    mallory_in_staff("passwd: files sss\n")
    with pytest.raises(Refused, match="mallory is in group staff"):
        exactly("staff").check(HostReader())
    assert (
        RootEquivalent("staff", frozenset(), frozenset({"mallory"}), MARKER).check(
            HostReader()
        )
        == ()
    )


def mallory_in_staff(sources):
    Path("/etc/nsswitch.conf").write_text(sources)
    text = Path("/etc/group").read_text()
    Path("/etc/group").write_text(text.replace("staff:x:50:", "staff:x:50:mallory"))


ROOTS_NUMBER = [
    "mallory:x:0:0",  # which glibc takes, though fields are missing
    "mallory::0:0::/:/bin/sh",
    " mallory:x:00:100:::/bin/false:more",
    "ubuntu:x:0:0::/root:/bin/sh\nmallory:x:+0:0:::\nmallory:x:5:5:::",
]


@pytest.mark.parametrize("line", ROOTS_NUMBER)
def test_whoever_has_root_s_number_is_root(line):
    """And what the hint says to type ends it; the provider may have such an account."""
    passwd = Path("/etc/passwd")
    passwd.write_text(f"{line}\n{passwd.read_text()}")
    assert subprocess.run(["id", "-u", "mallory"], capture_output=True).stdout == b"0\n"
    with pytest.raises(Refused, match="mallory has uid 0") as refused:
        exactly("root").check(HostReader())
    assert exactly("staff").check(HostReader()) == ()
    theirs = frozenset({"mallory", "ubuntu"})
    assert RootEquivalent("root", frozenset(), theirs, MARKER).check(HostReader()) == ()
    subprocess.run(["sh", "-c", refused.value.hint.partition(", or")[0]], check=True)
    assert "mallory" not in HostReader().users()
    assert exactly("root").check(HostReader()) == ()


@pytest.mark.parametrize("name", BACKENDS)
def test_people_on_a_fresh_host(name, site):
    """Plan and apply agree, and a second run rests."""
    declared = [component("people", people(site(name, "12")))]
    planned = told(engine.plan(declared, HostReader()))
    host = Host()
    assert told(engine.walk(declared, host)) == planned
    assert told(engine.plan(declared, HostReader())) == []
    host.programs.clear()
    assert told(engine.walk(declared, host)) == []
    assert host.programs == []


def test_people_on_a_host_where_much_is_wrong(site):
    declared = [component("people", people(site("test", "12")))]
    assert list(engine.walk(declared, Host()))[-1].error is None
    apply(User("mallory", home="/home/mallory", marker=MARKER))
    apply(Members("shadow", frozenset({"mallory", "rita"})))
    apply(Members("developers", frozenset({"mallory", "grace"})))
    Host().run("usermod", "--shell", "/bin/false", "gus")
    Path("/home/grace").chmod(0o777)

    assert [o.error for o in engine.walk(declared, Host()) if o.error] == []
    assert told(engine.plan(declared, HostReader())) == []
    host = HostReader()
    assert host.members("shadow") == frozenset()
    assert host.members("developers") == {"ada", "grace"}


def told(outcomes):
    """What was said: no error, and (label, field, after) of each change."""
    found = []
    for outcome in outcomes:
        assert outcome.error is None, outcome.error
        label = outcome.resource.label
        found += [(label, change.field, change.after) for change in outcome.changes]
    return found


# Before; after UMASK became 027.
SETTINGS = [
    ("UMASK 022\n", "UMASK\t027\n"),
    ("\n# first\n\nUMASK\t\t022\n\n\n", "\n# first\n\nUMASK\t027\n\n\n"),
    ("#UMASK 022\nUMASKS 1\n", "#UMASK 022\nUMASKS 1\nUMASK\t027\n"),
    ("  UMASK 1\nA b\nUMASK 2\n", "UMASK\t027\nA b\nUMASK\t027\n"),
    ("A b", "A b\nUMASK\t027\n"),
    ("", "UMASK\t027\n"),
]


@pytest.mark.parametrize(("before", "after"), SETTINGS)
def test_a_setting_leaves_every_other_line_as_it_is(before, after):
    LOGIN_DEFS.write_text(before)
    apply(LoginDefs("UMASK", "027"))
    assert LOGIN_DEFS.read_text() == after
    assert LoginDefs("UMASK", "027").check(HostReader()) == ()


BLOCK = HostsBlock("/etc/hosts", "192.0.2.7 jobs.example\n")
BEGIN = "# BEGIN opensafely: written by backend-server, changes here are lost\n"
END = "# END opensafely\n"


def test_a_hosts_file_keeps_its_other_lines_and_its_inode():
    HOSTS.write_text("127.0.0.1 localhost")
    inode = HOSTS.stat().st_ino
    apply(BLOCK)
    wanted = f"127.0.0.1 localhost\n{BEGIN}192.0.2.7 jobs.example\n{END}"
    assert HOSTS.read_text() == wanted
    HOSTS.write_text(f"{BEGIN}old\nolder\n{END}::1 last\n")
    apply(BLOCK)
    assert HOSTS.read_text() == f"{BEGIN}192.0.2.7 jobs.example\n{END}::1 last\n"
    assert HOSTS.stat().st_ino == inode


HOSTS_REFUSED = [
    ("198.51.100.1 other jobs.example\n", "gives jobs.example the address 198.51"),
    (f"{BEGIN}{BEGIN}{END}", "does not have one"),
    (f"{END}{BEGIN}", "does not have one"),
    (BEGIN, "does not have one"),
    (END, "does not have one"),
]


@pytest.mark.parametrize(("text", "why"), HOSTS_REFUSED)
def test_a_hosts_file_that_a_person_must_look_at(text, why):
    HOSTS.write_text(text)
    with pytest.raises(Refused, match=why):
        BLOCK.check(HostReader())


def test_a_line_of_others_that_agrees_may_stay():
    HOSTS.write_text("192.0.2.7 jobs.example # theirs\n#192.0.2.9 jobs.example\n")
    apply(BLOCK)
    assert BLOCK.check(HostReader()) == ()
