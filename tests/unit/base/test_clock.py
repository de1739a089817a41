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
    told = "nothing sets the clock: chrony.service does not run; try: sudo backend"
    assert sentence == told


@pytest.fixture
def elsewhere(site):
    return site._replace(backend=site.backend._replace(hyperv=False))


OFFERED = {
    "chrony.service": "multi-user",
    "systemd-timesyncd.service": "sysinit",
    "ntpsec.service": "multi-user",
}


@pytest.fixture
def offered(guest, request):
    """One is installed, and starts at boot."""
    unit, target = request.param
    (guest.root / "lib/systemd/system").mkdir(parents=True)
    (guest.root / "lib/systemd/system" / unit).touch()
    wants = guest.root / f"etc/systemd/system/{target}.target.wants"
    wants.mkdir(parents=True)
    (wants / unit).symlink_to(f"/lib/systemd/system/{unit}")
    return unit, wants / unit


@pytest.mark.parametrize("offered", OFFERED.items(), indirect=True)
def test_others_have_a_time_service_of_their_own(site, guest, elsewhere, offered):
    assert not [*hyperv.unset_clock(site, guest)], "it was never offered"
    managed(site, guest)
    (guest.root / hyperv.HOSTS_CLOCK[1:]).unlink()
    assert not [*hyperv.unset_clock(elsewhere, guest)]


@pytest.mark.parametrize("offered", OFFERED.items(), indirect=True)
def test_a_time_service_that_somebody_turned_off(guest, elsewhere, offered):
    """afadesigns/zshellcheck#860: disabled, or masked while its link stays."""
    unit, link = offered
    assert not [*hyperv.unset_clock(elsewhere, guest)]
    told = (
        f"nothing sets the clock: {unit} is off; "
        f"try: systemctl unmask {unit}; systemctl enable --now {unit}"
    )
    mask = guest.root / "etc/systemd/system" / unit
    mask.symlink_to("/dev/null")
    assert [*hyperv.unset_clock(elsewhere, guest)] == [told]
    mask.unlink()
    link.unlink()
    assert [*hyperv.unset_clock(elsewhere, guest)] == [told]
    assert told in status(elsewhere, guest)["degraded"]


@pytest.mark.parametrize("offered", [("ntpsec.service", "multi-user")], indirect=True)
def test_one_time_service_is_enough(guest, elsewhere, offered):
    (guest.root / "lib/systemd/system/systemd-timesyncd.service").touch()
    assert not [*hyperv.unset_clock(elsewhere, guest)]


@pytest.mark.parametrize("offered", [("ntpsec.service", "multi-user")], indirect=True)
def test_one_that_failed_sets_nothing(guest, elsewhere, offered):
    guest.units_in_memory = lambda: {"ntpsec.service": ("loaded", "failed")}
    (sentence,) = hyperv.unset_clock(elsewhere, guest)
    assert "ntpsec.service is off" in sentence


@pytest.mark.parametrize("offered", [("chrony.service", "multi-user")], indirect=True)
def test_one_that_somebody_stopped_sets_nothing(guest, elsewhere, offered):
    """But in a container, where no unit starts one."""
    guest.units_in_memory = lambda: {"chrony.service": ("loaded", "inactive")}
    (sentence,) = hyperv.unset_clock(elsewhere, guest)
    assert "chrony.service is off; try: " in sentence
    in_a_container(guest)
    assert not [*hyperv.unset_clock(elsewhere, guest)]


def test_no_time_service_at_all(guest, elsewhere):
    (sentence,) = hyperv.unset_clock(elsewhere, guest)
    assert sentence.endswith("is installed; try: apt-get install chrony")
    in_a_container(guest)
    assert not [*hyperv.unset_clock(elsewhere, guest)]


def in_a_container(guest):
    (guest.root / "run/systemd").mkdir(parents=True)
    (guest.root / "run/systemd/container").touch()


def test_status_has_it_among_what_is_degraded(site, guest):
    managed(site, guest)
    (guest.root / hyperv.HOSTS_CLOCK[1:]).unlink()
    found = status(site, guest)["degraded"]
    assert [line for line in found if line.startswith("nothing sets the clock")]
