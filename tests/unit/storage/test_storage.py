"""What is declared of the data trees, held to the table of roles."""

import pytest

from backend_server.resources import Acl, Directory, UnitFile
from backend_server.storage.component import (
    HIGH_TREE,
    MEDIUM_TREE,
    PLACES,
    WORKSPACES,
    access_to,
    people_of,
    storage,
)
from backend_server.text.roles import HIGH, MEDIUM, METADATA, OPENSAFELY, ROLES
from tests.unit.example import BACKENDS, ROOT, site_of


READABLE = (HIGH, MEDIUM, METADATA)


@pytest.fixture
def declared(tmp_path):
    return list(storage(site_of("emis", "noble", tmp_path)))


@pytest.mark.parametrize("area", READABLE)
def test_a_list_grants_what_the_table_says_and_nothing_more(area):
    granted = dict(entry.rsplit(":", 1) for entry in access_to(area))
    assert granted.pop("user:") == granted.pop("mask:") == "rwx"
    assert granted.pop("other:") == "---"
    assert granted.pop("group:") == granted[f"group:{people_of(area).group}"]
    expected = {
        f"{'user' if role.group == OPENSAFELY else 'group'}:{role.group}": (
            "rwx" if area in role.writes else "r-x"
        )
        for role in ROLES
        if area in role.reads
    }
    assert granted == expected


def test_directories(declared):
    found = {
        r.path: (f"{r.mode:o}", f"{r.owner}:{r.group}")
        for r in declared
        if type(r) is Directory
    }
    high = ("2750", "opensafely:researchers")
    assert found == {
        HIGH_TREE: high,
        **{
            f"{HIGH_TREE}/{name}": high
            for name in ("archives", "logs", "volumes", "workspaces")
        },
        MEDIUM_TREE: ("2750", "opensafely:reviewers"),
        f"{MEDIUM_TREE}/workspaces": ("3770", "opensafely:reviewers"),
        f"{MEDIUM_TREE}/requests": ("700", "opensafely:opensafely"),
        f"{MEDIUM_TREE}/review": ("2750", "opensafely:reviewers"),
    }


def test_what_leads_to_archives_is_the_trees_too(tmp_path):
    """As on tpp, where a disk of their own is in between."""
    found = list(storage(site_of("tpp", "noble", tmp_path)))
    high = [r for r in found if type(r) is Directory and r.group == "researchers"]
    paths = [r.path for r in high]
    assert paths[-2:] == [
        f"{HIGH_TREE}/archive",
        f"{HIGH_TREE}/archive/archived_workspaces",
    ]
    assert {r.mode for r in high} == {0o2750}


def test_every_directory_has_exactly_one_list(declared):
    lists = {r.path: r for r in declared if isinstance(r, Acl)}
    assert list(lists) == [r.path for r in declared if type(r) is Directory]
    assert {path: bool(r.default) for path, r in lists.items() if not r.default} == {
        MEDIUM_TREE: False,
        f"{MEDIUM_TREE}/requests": False,
        f"{MEDIUM_TREE}/review": False,
    }
    assert all(r.access == frozenset() for r in lists.values())


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_timer_waits_for_the_mounts_and_runs_what_judges_the_checkout(
    backend, tmp_path
):
    declared = storage(site_of(backend, "noble", tmp_path))
    units = (r for r in declared if isinstance(r, UnitFile))
    service = next(unit for unit in units if "modes" in unit.path)
    assert f"RequiresMountsFor={HIGH_TREE} {MEDIUM_TREE}\n" in service.text
    assert "ExecStart=/usr/local/sbin/backend host repair --recent\n" in service.text


def test_the_unit_is_about_the_places_that_are_checked():
    text = (ROOT / "etc/systemd/system/opensafely-nosuid.service").read_text()
    assert f"for place in {' '.join(PLACES)}; do" in text


def test_workspaces_are_in_their_trees():
    assert WORKSPACES[HIGH].startswith(f"{HIGH_TREE}/")
    assert WORKSPACES[MEDIUM].startswith(f"{MEDIUM_TREE}/")


@pytest.mark.parametrize(
    "entries",
    [{"group:reviewers:rwx"}, {"user::rwx", "other::---"}, {"rwx"}],
    ids=["only named", "no group", "no entry"],
)
def test_a_list_that_is_not_whole_is_a_mistake(entries):
    with pytest.raises(ValueError, match="lacks one of|is no entry"):
        Acl("/srv/tree", default=frozenset(entries))
