"""Whose access ends by itself, and whose does not because nobody else is left."""

from datetime import date

import pytest

from backend_server.checkout.gather import everybody, last_developers
from backend_server.checkout.rosters import Entry
from backend_server.host.reader import HostReader
from backend_server.people.component import people
from backend_server.people.narrowing import overdue, remaining
from backend_server.resources import User
from tests.unit.example import site_of


SOON, LATER, LATEST = date(2027, 2, 1), date(2027, 3, 1), date(2027, 4, 1)


@pytest.fixture
def site(tmp_path):
    return site_of("emis", "12", tmp_path / "checkout")


@pytest.fixture
def host(tmp_path):
    return HostReader(tmp_path)


def with_ends(site, **ends):
    """The developers are these, until these days."""
    entries = (Entry(n, day, None, "developers", 1) for n, day in ends.items())
    return site._replace(people={**site.people, "developers": tuple(entries)})


@pytest.mark.parametrize(
    ("ends", "last"),
    [
        ({"ada": None, "grace": None}, set()),
        ({"ada": SOON, "grace": None}, set()),
        ({"ada": SOON, "grace": LATER}, {"grace"}),
        ({"ada": LATER, "grace": LATER}, {"ada", "grace"}),
        ({"ada": SOON}, {"ada"}),
    ],
)
def test_the_last_developers(site, host, ends, last):
    site = with_ends(site, **ends)
    assert last_developers(site) == last
    left = remaining(site, host, LATEST)
    stay = {name for name, day in ends.items() if day is None or name in last}
    assert everybody(left.people) == stay | {"rita", "gus"}
    assert [bool(list(overdue(left, LATEST)))] == [bool(last)]
    expiries = {r.name: r.expires for r in people(site) if isinstance(r, User)}
    for name, day in ends.items():
        assert expiries[name] == ("never" if name in stay else str(day))


def test_of_two_rosters_the_later_day_counts_for_the_account(site):
    site = with_ends(site, ada=None, rita=SOON)
    assert {r.name: r.expires for r in people(site) if isinstance(r, User)}[
        "rita"
    ] == "never"
    researcher = Entry("rita", LATER, None, "emis/researchers", 1)
    site = site._replace(people={**site.people, "researchers": (researcher,)})
    (rita,) = (r for r in people(site) if isinstance(r, User) and r.name == "rita")
    assert rita.expires == str(LATER)
