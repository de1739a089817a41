"""Who can do what: from made-up files, and what sudo would say."""

from datetime import timedelta

import pytest

from backend_server.checkout.gather import gather
from backend_server.host.reader import HostReader
from backend_server.people import reach
from backend_server.run.place import load
from backend_server.text.releases import named
from tests.unit.example import TODAY, checkout_of, public_key, site_of


PASSWD = """\
root:x:0:0:root:/root:/bin/bash
toor:x:0:0::/root:/bin/sh
daemon:x:1:1::/usr/sbin:/usr/sbin/nologin
ubuntu:x:1000:1000::/home/ubuntu:/bin/bash
ada:x:1001:1001::/home/ada:/bin/bash
gus:x:1002:1002::/home/gus:/bin/bash
left:x:1003:1003::/home/left:/bin/bash
"""
GROUP = """\
root:x:0:
disk:x:6:daemon,gus
sudo:x:27:ubuntu
developers:x:900:ada
opensafely-people:x:901:ada,gus,left
ubuntu:x:1000:
ada:x:1001:
gus:x:1002:
left:x:1003:
"""
SHADOW = "".join(
    f"{name}:{password}:19000:0:99999:7:::\n"
    for name, password in (("ada", "!"), ("gus", "$y$x"), ("left", "!$y$x"))
)
RULES = {
    "ubuntu": ["(ALL : ALL) ALL", "(ALL) NOPASSWD: ALL"],
    "ada": [
        "(ALL : ALL) ALL",
        '(root) NOPASSWD: /usr/local/sbin/opensafely-password ""',
    ],
    "gus": ["(opensafely) ALL", "(root) NOPASSWD: /usr/bin/id"],
}


class MadeUp(HostReader):
    """A host whose sudo says this, as `sudo -l -U` does."""

    def sudo_rules(self, user):
        rules = RULES.get(user)
        if not rules:
            return f"User {user} is not allowed to run sudo on here.\n"
        head = f"Matching Defaults entries for {user} on here:\n    use_pty\n\n"
        return head + f"User {user} may run:\n" + "".join(f"    {r}\n" for r in rules)


@pytest.fixture
def site(tmp_path):
    return site_of("emis", "12", tmp_path)


@pytest.fixture
def host(tmp_path):
    root = tmp_path / "root"
    keys = root / reach.KEY_FOLDER[1:]
    keys.mkdir(parents=True)
    (keys / "ada").write_text(public_key("ada") + "# x\n" + public_key("other"))
    for name, text in (("passwd", PASSWD), ("group", GROUP), ("shadow", SHADOW)):
        (root / "etc" / name).write_text(text)
    return MadeUp(root)


def test_listed(site, host):
    found = {person["name"]: person for person in reach.listed(site, host)}
    assert list(found) == ["ada", "grace", "gus", "left", "rita"]
    assert found["ada"]["rosters"] == ["developers:1"]
    assert found["ada"]["keys"] == 2
    assert found["ada"]["groups"] == ["ada", "developers", "opensafely-people"]
    assert found["left"]["rosters"] == []
    passwords = {name: person["password"] for name, person in found.items()}
    assert passwords == {
        "ada": "none yet",
        "grace": "no account",
        "gus": "set",
        "left": "locked",
        "rita": "no account",
    }


def test_root(site, host):
    found = {p["name"]: p["ways"] for p in reach.who_is_root(site, host)}
    assert found == {
        "root": ["uid 0", "group root"],
        "toor": ["uid 0", "group root"],
        "ubuntu": ["group sudo", *(f"sudo: {rule}" for rule in RULES["ubuntu"])],
        "ada": ["sudo: (ALL : ALL) ALL"],
        "gus": ["group disk", "sudo: (root) NOPASSWD: /usr/bin/id"],
    }


def test_who(site, host):
    found = reach.who(site, host, "ada")
    assert found["sudo"] == RULES["ada"]
    assert [key.split()[0] for key in found["keys"]] == ["ssh-ed25519"] * 2
    assert found["trees"] == {}
    lines = list(reach.lines(found))
    assert "name        ada" in lines
    assert "sudo        (ALL : ALL) ALL" in lines


def test_who_has_nothing(site, host):
    found = reach.who(site, host, "left")
    assert (found["sudo"], found["keys"], found["rosters"]) == ([], [], [])
    assert "sudo        none" in list(reach.lines(found))


def test_whose_access_ends_soon(tmp_path):
    """None whom another line keeps, nor the last developer, whose does not end by itself."""
    checkout = checkout_of("emis", tmp_path / "checkout")
    (checkout / "developers").write_text(
        "ada expires=2027-01-20\ngrace expires=2027-01-29\n"
    )
    (checkout / "emis/researchers").write_text("rita expires=2027-01-29\nada\n")
    (checkout / "emis/reviewers").write_text("gus expires=2027-01-30\n")
    site = gather(load("emis", checkout), named("debian 12"), checkout, TODAY)
    assert reach.ending(site, TODAY) == [{"name": "rita", "until": "2027-01-29"}]
    later = TODAY + timedelta(days=1)
    assert [found["name"] for found in reach.ending(site, later)] == ["gus", "rita"]
