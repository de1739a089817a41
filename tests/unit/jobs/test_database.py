"""Where the job-runner is told that the database is, beside where jobs may go."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_server.host.reader import HostReader
from backend_server.jobs import database
from tests.unit.example import BACKENDS, site_of


MENDS = "sudo backend service secrets set DEFAULT_DATABASE_URL"
USER = "mssql://dog:p%40ss@"


@pytest.fixture
def site(tmp_path):
    found = site_of("tpp", "bookworm", tmp_path / "checkout")
    places = ("192.0.2.30:1433", "198.51.100.0/28:1433-1440")
    return found._replace(
        backend=found.backend._replace(database=places),
        hosts="192.0.2.30 database\n2001:db8::1 six\n",
    )


def host_with(tmp_path, url):
    host = HostReader(tmp_path / "host")
    path = host.root / "etc/opensafely/env/02_secrets.env"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"DEFAULT_DATABASE_URL={url}\n")
    (host.root / "etc/hosts").write_text("192.0.2.31 mirror\n")
    return host


# Where it leads, and what differs.
CASES = [
    (f"{USER}database:1433/P", ("192.0.2.30", 1433), ""),
    (f"{USER}database/P?driver=x", ("192.0.2.30", 1433), ""),
    (f"mssql+pymssql://{USER[8:]}192.0.2.30", ("192.0.2.30", 1433), ""),
    ("mssql://198.51.100.15:1440", ("198.51.100.15", 1440), ""),
    (
        f"{USER}198.51.100.16:1440/P",
        ("198.51.100.16", 1440),
        "198.51.100.16:1440, where",
    ),
    (f"{USER}database:1434/P", ("192.0.2.30", 1434), "192.0.2.30:1434, where"),
    (f"{USER}mirror:1433/P", ("192.0.2.31", 1433), "192.0.2.31:1433, where"),
    ("trino://dog@database/P", ("192.0.2.30", 0), "192.0.2.30:0, where"),
    (f"{USER}elsewhere:1433/P", None, "elsewhere, whose address nothing here knows"),
    (f"{USER}six:1433/P", None, "six, whose address nothing here knows"),
    ("database:1433", None, "cannot be read; wanted SCHEME://"),
    ("mssql://dog:p/ss@database:1433/P", None, "cannot be read; wanted SCHEME://"),
    ("mssql://dog:12/ss@database:1433/P", None, "cannot be read; wanted SCHEME://"),
]


@pytest.mark.parametrize(("url", "leads", "differs"), CASES)
def test_where_it_leads(site, tmp_path, url, leads, differs):
    host = host_with(tmp_path, url)
    assert database.leads_to(site, host) == leads
    found = list(database.differing(site, host))
    assert len(found) == bool(differs)
    for sentence in found:
        assert differs in sentence
        assert sentence.endswith(MENDS)
        assert "dog" not in sentence


ANY = st.text(string.ascii_letters + string.digits + "@/:?#%.-", min_size=8)


@given(password=ANY)
def test_no_password_is_said(password, tmp_path_factory):
    """However it is spelt, no four letters of it stand in what is said."""
    tmp_path = tmp_path_factory.mktemp("host")
    site = site_of("tpp", "bookworm", tmp_path / "checkout")
    site = site._replace(backend=site.backend._replace(database=("192.0.2.30:1433",)))
    plain = database.differing(site, host_with(tmp_path, "mssql://dog:x@kennel:1433/P"))
    known = " ".join([*plain, *database.differing(site, host_with(tmp_path, "x"))])
    url = f"mssql://dog:{password}@kennel:1433/P"
    for sentence in database.differing(site, host_with(tmp_path, url)):
        said = re.sub("|".join(map(re.escape, known.split())), " ", sentence)
        assert not any(password[n : n + 4] in said for n in range(len(password) - 3))


def test_what_is_tried(site, tmp_path):
    """Of a network only the place where the URL leads."""
    host = host_with(tmp_path, f"{USER}198.51.100.9:1434/P")
    tried = [("192.0.2.30", 1433), ("198.51.100.9", 1434)]
    assert database.to_try(site, host) == tried
    host = host_with(tmp_path / "b", f"{USER}203.0.113.9:1434/P")
    assert database.to_try(site, host) == tried[:1]


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_database_is_said_where_there_are_patients(backend, tmp_path):
    site = site_of(backend, "bookworm", tmp_path / "checkout")
    none = site.backend._replace(database=())
    said = list(database.notes(site._replace(backend=none)))
    assert [f"{backend}/backend.py" in each for each in said] == [True] * (
        not none.dummy_data
    )
    full = site.backend._replace(database=("192.0.2.30:1433",))
    assert list(database.notes(site._replace(backend=full))) == []
