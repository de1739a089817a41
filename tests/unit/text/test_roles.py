"""The one table of access, held to what each level may do."""

import pytest

from backend_server.text import names, roles
from backend_server.text.roles import AREAS, HIGH, MEDIUM, METADATA, REQUESTS, ROLES


BY_NAME = {role.name: role for role in ROLES}

# name: group, login, sudo, network, roster
WHO = {
    "developer": ("developers", "ssh", True, True, "developers"),
    "researcher": ("researchers", "ssh", False, True, "researchers"),
    "reviewer": ("reviewers", "rdp", False, False, "reviewers"),
    "service": ("opensafely", "none", False, True, None),
}

# name: area: may read, may write
ACCESS = {
    "developer": {HIGH: "--", MEDIUM: "--", METADATA: "--", REQUESTS: "--"},
    "researcher": {HIGH: "r-", MEDIUM: "--", METADATA: "--", REQUESTS: "--"},
    "reviewer": {HIGH: "--", MEDIUM: "rw", METADATA: "r-", REQUESTS: "--"},
    "service": {HIGH: "rw", MEDIUM: "rw", METADATA: "rw", REQUESTS: "rw"},
}


def test_the_tables_here_name_every_role_once():
    assert [role.name for role in ROLES] == list(WHO) == list(ACCESS)
    assert len({role.group for role in ROLES}) == len(ROLES)


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_who(role):
    found = (role.group, role.login, role.sudo, role.network, role.roster)
    assert found == WHO[role.name]


@pytest.mark.parametrize("area", AREAS)
@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_access(role, area):
    found = ("r" if area in role.reads else "-") + ("w" if area in role.writes else "-")
    assert found == ACCESS[role.name][area]


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_role_makes_sense(role):
    assert set(role.writes) <= set(role.reads) <= set(AREAS)
    assert (role.login == "none") == (role.roster is None)
    assert role.group not in roles.ROOT_EQUIVALENT_GROUPS
    with pytest.raises(AttributeError, match="never changes"):
        role.sudo = True


def test_nobody_can_take_the_name_of_a_group_or_account_of_ours():
    ours = {role.group for role in ROLES} | {roles.MARKER, roles.RELEASE}
    for name in ours | roles.ROOT_EQUIVALENT_GROUPS:
        assert "is reserved" in (names.problem(name) or "")


def test_numbers_that_images_have_baked_in():
    assert (roles.REVIEWERS_GID, roles.OPENSAFELY_ID) == (10010, 10000)


def test_every_group_of_the_security_brief_is_watched():
    brief = "sudo docker lxd adm disk shadow libvirt kvm systemd-journal"
    assert set(brief.split()) <= roles.ROOT_EQUIVALENT_GROUPS
