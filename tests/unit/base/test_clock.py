"""The host's clock: what is said of a guest whose clock nothing sets."""

import pytest

from backend_server.base.component import hyperv
from backend_server.host.reader import HostReader
from backend_server.run.status import status
from tests.unit.example import site_of


@pytest.fixture
def site(tmp_path):
    return site_of("tpp", "jammy", tmp_path / "checkout")


class Guest(HostReader):
    """Its chronyd is in this state."""

    state = "active"

    def unit(self, name):
        return {"ActiveState": self.state}

    def timers(self):
        return ""


@pytest.fixture
def guest(tmp_path):
    guest = Guest(tmp_path / "host")
    (guest.root / "etc/chrony").mkdir(parents=True)
    (guest.root / "dev").mkdir()
    return guest


def managed(site, guest):
    """As `clock` leaves it."""
    for resource in hyperv.clock(site):
        if resource.label.startswith("File "):
            (guest.root / resource.path[1:]).write_text(resource.text)
    (guest.root / hyperv.HOSTS_CLOCK[1:]).touch()


def test_nothing_is_said_while_the_host_sets_it(site, guest):
    managed(site, guest)
    assert not [*hyperv.unset_clock(site, guest)]


def test_a_host_that_gives_no_time_any_more_is_told(site, guest):
    managed(site, guest)
    (guest.root / hyperv.HOSTS_CLOCK[1:]).unlink()
    (sentence,) = hyperv.unset_clock(site, guest)
    assert sentence.startswith("nothing sets the clock: there is no /dev/ptp_hyperv")


def test_a_daemon_that_does_not_run_is_told(site, guest):
    managed(site, guest)
    guest.state = "activating"
    (sentence,) = hyperv.unset_clock(site, guest)
    assert sentence.startswith("nothing sets the clock: chrony.service does not run")


def test_others_have_a_time_service_of_their_own(site, guest):
    assert not [*hyperv.unset_clock(site, guest)], "it was never offered"
    managed(site, guest)
    (guest.root / hyperv.HOSTS_CLOCK[1:]).unlink()
    elsewhere = site._replace(backend=site.backend._replace(hyperv=False))
    assert not [*hyperv.unset_clock(elsewhere, guest)]


def test_status_has_it_among_what_is_degraded(site, guest):
    managed(site, guest)
    (guest.root / hyperv.HOSTS_CLOCK[1:]).unlink()
    found = status(site, guest)["degraded"]
    assert [line for line in found if line.startswith("nothing sets the clock")]
