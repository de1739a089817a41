"""People of a second source of accounts, as with sssd or LDAP: said, and left alone."""

from __future__ import annotations

import pytest

from tests.hosts.managing import (
    CHECKOUT,
    edited,
    manage,
    people_of,
    refused,
    rests,
    untouched,
)


pytestmark = pytest.mark.share("people")

FOLDER = "/var/lib/extrausers"
PEOPLE = "linus:x:4242:4242::/home/linus:/bin/sh\n"
GROUPS = "linus:x:4242:\nvera:x:4243:linus\n"


@pytest.fixture(scope="module")
def host(shared_warm_host):
    """A host that knows linus, and a group vera, from somewhere else than /etc."""
    host = shared_warm_host("test")
    install = "apt-get -qq -y install libnss-extrausers"
    host.run(f"apt-get -qq update && DEBIAN_FRONTEND=noninteractive {install}")
    host.write(f"{FOLDER}/passwd", PEOPLE)
    host.write(f"{FOLDER}/group", GROUPS)
    host.run(r"sed -Ei 's/^(passwd|group):.*/& extrausers/' /etc/nsswitch.conf")
    assert host.run("id linus").stdout
    assert rests(host)
    return host


@pytest.fixture(autouse=True)
def github(outside):
    """It knows whomever these tests put on a roster."""
    for name in ("linus", "vera", "alan"):
        outside.github(name)


def on_roster(host, name):
    roster = host.read(f"{CHECKOUT}/test/researchers")
    return edited(host, f"{CHECKOUT}/test/researchers", f"{roster}{name}\n")


@pytest.mark.parametrize(("name", "file"), [("linus", "passwd"), ("vera", "group")])
def test_a_name_that_is_taken_there(host, name, file):
    with on_roster(host, name), untouched(host):
        said = f"{name} is not in /etc/{file}, but another source has that name"
        refused(manage(host), said, f"getent {file} {name}")
        assert manage(host, "plan").returncode == 2


def test_who_is_root_by_a_group_here_stays(host):
    """Linus may be the provider's only way in."""
    host.run("gpasswd --add linus sudo")
    try:
        with untouched(host):
            refused(
                manage(host),
                *("linus is in group sudo", "provider_accounts"),
                "gpasswd --delete linus sudo",
            )
        assert "linus" in people_of(host, "sudo")
    finally:
        host.run("gpasswd --delete linus sudo")
    assert rests(host)


def test_a_source_that_is_silent_rules_nothing_out(host):
    host.run(f"rm {FOLDER}/passwd; mkfifo {FOLDER}/passwd")
    try:
        assert rests(host)  # who has nothing to ask does not wait
        with on_roster(host, "alan"), untouched(host):
            refused(manage(host), "alan is not in /etc/passwd", "does not answer")
    finally:
        host.run(f"rm {FOLDER}/passwd")
        host.write(f"{FOLDER}/passwd", PEOPLE)
