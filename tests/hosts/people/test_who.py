"""Who can do what on a host, and why: people list, who and root."""

from __future__ import annotations

import json
import re

import pytest

from sandbox.fixtures import ubuntu_user
from tests.hosts.doors import desk, heals
from tests.hosts.managing import CHECKOUT, manage, refused
from tests.hosts.programs import wait_until


pytestmark = pytest.mark.share("access")


@pytest.fixture(scope="module")
def host(shared_warm_host):
    return shared_warm_host("emis", shape=[ubuntu_user])


def asked(host, words):
    done = manage(host, f"people {words} --json", backend="emis")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["format"] == 1
    plain = manage(host, f"people {words}", backend="emis")
    assert plain.returncode == 0, plain.stderr
    return found, plain.stdout


GROUPS_OF_GUS = ["gus", "opensafely-people", "opensafely-unprivileged", "reviewers"]


def test_list(host):
    found, text = asked(host, "list")
    people = {person["name"]: person for person in found["people"]}
    assert set(people) == {"ada", "grace", "rita", "gus"}
    assert people["ada"]["rosters"] == ["developers:1"]
    assert people["gus"]["groups"] == GROUPS_OF_GUS
    assert all(person["keys"] == 1 for person in people.values())
    assert "ada" in text
    assert "password none yet" in text


def test_who(host):
    found, text = asked(host, "who gus")
    assert found["sudo"] == []
    assert found["rosters"] == ["emis/reviewers:1"]
    assert "none" in re.search("^sudo.*$", text, re.MULTILINE)[0]
    found, text = asked(host, "who ada")
    assert "(ALL : ALL) ALL" in found["sudo"]
    key = host.people["ada"].key.with_suffix(".pub")
    fingerprint = host.run("ssh-keygen -lf -", stdin=key.read_text()).stdout.split()[1]
    assert found["keys"] == [f"ssh-ed25519 {fingerprint} keys/ada"]
    assert fingerprint in text
    assert found["sessions"] == []


def test_who_is_here_and_when_github_was_heard(host):
    with desk(host, "rita", "sleep 600"):
        wait_until(lambda: host.run("pgrep -u rita sleep", check=False).stdout)
        found, text = asked(host, "who rita")
    assert re.fullmatch(r"session \w+: rita by sshd from [\d.]+", *found["sessions"])
    assert "rita by sshd from" in text
    assert re.search(r"(?m)^github seen 20\d\d-\d\d-\d\dT", text)
    people = asked(host, "list")[0]["people"]
    assert {person["github_seen"][:2] for person in people} == {"20"}


def test_a_key_from_github(host):
    """The only source, where there is no file in keys/."""
    host.run(f"mv {CHECKOUT}/keys/rita /root")
    try:
        assert manage(host, backend="emis").returncode == 0
        assert asked(host, "who rita")[0]["keys"][0].endswith(" github")
    finally:
        host.run(f"mv /root/rita {CHECKOUT}/keys")
    assert heals(host)


def test_who_is_revoked(host):
    host.run("backend people revoke gus --why 'lost a laptop'")
    try:
        found, text = asked(host, "who gus")
        people = {p["name"]: p for p in asked(host, "list")[0]["people"]}
    finally:
        host.run("backend people readmit gus")
        assert heals(host)
    assert found["revoked"].endswith("by root: lost a laptop")
    assert "by root: lost a laptop" in text
    assert people["gus"]["revoked"] == found["revoked"]
    assert (people["gus"]["keys"], people["rita"]["revoked"]) == (0, None)


def test_who_nobody_knows(host):
    done = manage(host, "people who nosuch", backend="emis")
    refused(done, "nosuch")


def test_root(host):
    found, text = asked(host, "who --root")
    ways = {person["name"]: person["ways"] for person in found["people"]}
    assert set(ways) == {"root", "ubuntu", "ada", "grace", "opensafely"}
    assert ways["opensafely"] == ["group docker"]
    assert "uid 0" in ways["root"]
    assert "sudo: (ALL) NOPASSWD: ALL" in ways["ubuntu"]
    assert ways["ada"] == ["sudo: (ALL : ALL) ALL"]
    assert {line.split()[0] for line in text.splitlines()} == set(ways)


def test_what_was_done_by_hand_shows(host):
    host.run("useradd -m mallory; useradd -o -u 0 -g 0 -M toor; gpasswd -a gus disk")
    host.run("gpasswd -a gus developers; gpasswd -a mallory developers")
    host.write("/etc/sudoers.d/mallory", "rita ALL=(root) NOPASSWD: /bin/bash\n", 0o440)
    try:
        ways = {p["name"]: p["ways"] for p in asked(host, "who --root")[0]["people"]}
        people = {p["name"]: p for p in asked(host, "list")[0]["people"]}
        who = asked(host, "who gus")[0]
    finally:
        host.run(
            "rm /etc/sudoers.d/mallory; userdel -r mallory; userdel -f toor",
            check=False,
        )
        done = manage(host, backend="emis")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "developers" in who["groups"]
    assert "group disk" in ways["gus"]
    assert "sudo: (ALL : ALL) ALL" in ways["gus"]
    assert "sudo: (ALL : ALL) ALL" in ways["mallory"]
    assert "uid 0" in ways["toor"]
    assert "rita" in ways, "a shell as root is root"
    assert "mallory" in people, "in a group of ours, and on no roster"
    assert heals(host)
