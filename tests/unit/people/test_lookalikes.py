"""Which names are told to be alike, with pairs on both sides of the line."""

import pytest

from backend_server.host.reader import HostReader
from backend_server.people.remarks import lookalikes
from backend_server.people.remarks import of_lookalikes as notes
from tests.unit.example import site_of


ALIKE = [
    ("0pensafely", "opensafely"),
    ("r00t", "root"),
    ("ubuntu1", "ubuntu"),
    ("linusl", "linus"),
    ("l1nus", "linus"),
    ("Iinus", "linus"),
    ("Linus", "linus"),
    ("5am", "sam"),
    ("2oe", "zoe"),
    ("arnold", "amold"),
    ("vvilma", "wilma"),
    ("wwwdata", "www-data"),
    ("systemd-resolve", "systemd_resolve"),
    ("grace-hopper", "gracehopper"),
    ("gracce", "grace"),
    ("garce", "grace"),
    ("jonmassey", "jongmassey"),
    ("mallory", "mellory"),
]
DIFFERENT = [
    ("ada", "ida"),
    ("ada", "adam"),
    ("ana", "anna"),
    ("ada", "aad"),
    ("rita", "rina"),
    ("gus", "gas"),
    ("roots", "root"),
    ("james", "games"),
    ("linux", "linus"),
    ("maria", "mario"),
    ("marvin", "martin"),
    ("peter", "petra"),
    ("daniel", "danielle"),
    ("carla", "clara"),
    ("mallory", "malory-x"),
    ("grace", "grace"),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_alike(one, other):
    assert list(lookalikes([one], [other])) == [(one, other)]
    assert list(lookalikes([other], [one])) == [(other, one)]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different(one, other):
    assert list(lookalikes([one, other], [one, other])) == []


def test_each_pair_once():
    names = ["linus", "linusl", "l1nus", "ada"]
    found = [("l1nus", "linus"), ("l1nus", "linusl"), ("linus", "linusl")]
    assert list(lookalikes(names, names)) == found
    assert list(lookalikes(["linus"], names)) == [
        ("linus", "l1nus"),
        ("linus", "linusl"),
    ]


ACCOUNTS = ["root", "ada", "adA", "graces", "r1ta"]


def test_notes_are_about_those_who_are_new(tmp_path):
    """Ada's account is ours already, and there is none of grace's."""
    etc = tmp_path / "root/etc"
    etc.mkdir(parents=True)
    lines = (f"{name}:x:{n}:{n}::/:/bin/sh\n" for n, name in enumerate(ACCOUNTS))
    (etc / "passwd").write_text("".join(lines))
    (etc / "group").write_text("opensafely-people:x:1:ada,grace\n")
    host, asks = HostReader(tmp_path / "root"), "is it really somebody else?"
    site = site_of("emis", "12", tmp_path / "site")
    gracee = (site.people["reviewers"][0]._replace(name="gracee"),)
    site = site._replace(people={**site.people, "reviewers": gracee})
    assert list(notes(site, host)) == [
        f"grace looks like gracee, who is on a roster too: {asks}",
        f"grace looks like graces, who has an account here: {asks}",
        f"rita looks like r1ta, who has an account here: {asks}",
    ]
