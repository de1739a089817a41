"""The database: said where there is none, reached where it is declared, told where the URL differs."""

import pytest

from tests.hosts.managing import CHECKOUT, manage


pytestmark = pytest.mark.share("agent")
URL = "DEFAULT_DATABASE_URL"
SECRET = "Wagon4-Thimble-Fern-secret"
DECLARE = r"""cd /srv/backend-server &&
sed -i 's|^    rdp_address=|    database=("192.0.2.16/28:1400-1433",),\n&|' emis/backend.py &&
echo '192.0.2.30 database' >>emis/hosts"""


@pytest.fixture(scope="module")
def host(shared_warm_host):
    return shared_warm_host("emis", legacy_cgroups=True)


def told(host, port):
    """The job-runner is told that the database is at this port, as a developer would."""
    url = f"mssql://ada:{SECRET}@database:{port}/Patients"
    argv = f"{CHECKOUT}/emis/manage.sh service secrets set {URL}"
    return host.run(argv, stdin=url)


def test_where_jobs_go_is_where_the_url_leads(host):
    none = "note: jobs here reach no database"
    host.run("rm /etc/motd")  # notes come with what is changed
    assert none in manage(host, "plan --offline", backend="emis").stdout
    host.run(DECLARE)
    done = manage(host, "--offline", backend="emis")
    assert done.returncode == 0, done.stdout + done.stderr
    assert none not in done.stdout
    proved = manage(host, "host prove", backend="emis").stdout
    assert "database   192.0.2.30:1433 answers" in proved
    assert told(host, 1500).returncode == 0
    sentence = f"{URL} leads to 192.0.2.30:1500, where jobs may not go: put that into"
    for words in ("plan --offline", "status"):
        done = manage(host, words, backend="emis")
        assert sentence in done.stdout, words
        assert SECRET not in done.stdout + done.stderr
    assert done.returncode == 4
    assert told(host, 1433).returncode == 0
    done = manage(host, "status", backend="emis")
    assert URL not in done.stdout
