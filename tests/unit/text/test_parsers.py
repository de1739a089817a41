"""Text of real hosts, as values."""

import json

import pytest

from backend_server.text.parsers import (
    GroupEntry,
    PackageState,
    PasswdEntry,
    ShadowEntry,
    parse_assignments,
    parse_dpkg_status,
    parse_getent,
    parse_group,
    parse_hosts,
    parse_nft,
    parse_nsswitch,
    parse_passwd,
    parse_shadow,
    parse_unit_list,
    parse_units,
)


PASSWD = """\
root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
_apt:x:42:65534::/nonexistent:/usr/sbin/nologin
ada:x:1000:1000:Ada,,,:/home/ada:/bin/bash
+::::::
+nisuser::::::
-nobody::::::
"""


def test_passwd():
    found = parse_passwd(PASSWD)
    assert list(found) == ["root", "daemon", "_apt", "ada"]
    assert found["ada"] == PasswdEntry(
        "ada", 1000, 1000, "Ada,,,", "/home/ada", "/bin/bash"
    )
    assert found["_apt"].comment == ""


def test_getent():
    """Of files, of sssd with and without the domain, and of winbind."""
    text = """\
root:x:0:0:root:/root:/bin/bash
Grace@example.org:*:1601:1601:Grace:/home/grace:/bin/bash
EXAMPLE\\gus:*:1602:1602::/home/gus:/bin/bash
"""
    found = parse_getent(text)
    assert {"root", "grace@example.org", "grace", "example\\gus", "gus"} <= found
    assert parse_getent("") == frozenset()


def test_nsswitch():
    text = """\
# /etc/nsswitch.conf
passwd:         files systemd sss # people
group: files [SUCCESS=merge] systemd [!UNAVAIL=return NOTFOUND=continue] ldap
hosts :files

gshadow:
"""
    found = parse_nsswitch(text)
    assert found["passwd"] == ["files", "systemd", "sss"]
    assert found["group"] == ["files", "systemd", "ldap"]
    assert found["hosts"] == ["files"]
    assert found["gshadow"] == []
    assert parse_nsswitch("").get("passwd") is None


SEPARATORS = ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\r"]


@pytest.mark.parametrize("character", SEPARATORS, ids=ascii)
def test_a_user_cannot_hide_their_line(character):
    """chfn lets users write into their own line: only a newline ends one."""
    line = f"mallory:x:1001:1001:a{character}b:/home/mallory:/bin/bash\n"
    assert parse_passwd(line)["mallory"].uid == 1001


def test_passwd_without_its_last_newline():
    assert "ada" in parse_passwd("ada:x:1000:1000::/home/ada:/bin/sh")
    assert parse_passwd("") == {}


GROUP = """\
root:x:0:
adm:x:4:syslog,ubuntu
users:x:100:
docker:x:999:opensafely
+:::
"""


def test_group():
    found = parse_group(GROUP)
    assert list(found) == ["root", "adm", "users", "docker"]
    assert found["adm"] == GroupEntry("adm", 4, frozenset({"syslog", "ubuntu"}))
    assert found["root"].members == frozenset()


SHADOW = """\
root:*:19700:0:99999:7:::
ada:$y$j9T$abc$def:19700:0:99999:7:::
grace:!:19700:0:99999:7::20000:
open::19700:0:99999:7:::
"""


def test_shadow():
    assert parse_shadow(SHADOW) == {
        "root": ShadowEntry("*", None, 19700),
        "ada": ShadowEntry("$y$j9T$abc$def", None, 19700),
        "grace": ShadowEntry("!", 20000, 19700),
        "open": ShadowEntry("", None, 19700),
    }


DPKG = """\
Package: bash
Essential: yes
Status: install ok installed
Priority: required

Package: libc6
Status: install ok installed
Architecture: amd64
Multi-Arch: same

Package: libc6
Status: deinstall ok config-files
Architecture: i386

Package: docker.io
Status: hold ok installed
Section: admin
Description: a package
 Package: nested
 Status: install ok installed

Package: old
Status: deinstall ok config-files

Package: broken
Status: install ok half-configured

Package: bad
Status: install reinstreq half-installed

Package: waiting
Status: install ok triggers-pending
"""

STATES = {
    "bash": PackageState(installed=True, held=False, configured=True, whole=True),
    "libc6": PackageState(installed=True, held=False, configured=True, whole=True),
    "docker.io": PackageState(installed=True, held=True, configured=True, whole=True),
    "old": PackageState(installed=False, held=False, configured=True, whole=True),
    "broken": PackageState(installed=False, held=False, configured=True, whole=False),
    "bad": PackageState(
        installed=False, held=False, configured=True, whole=False, half=True
    ),
    "waiting": PackageState(installed=False, held=False, configured=True, whole=False),
}


@pytest.mark.parametrize(("name", "state"), STATES.items(), ids=STATES)
def test_dpkg_status(name, state):
    assert parse_dpkg_status(DPKG)[name] == state


def test_dpkg_status_has_no_package_of_a_description():
    assert "nested" not in parse_dpkg_status(DPKG)


OS_RELEASE = """\
PRETTY_NAME="Ubuntu 24.04.1 LTS"
NAME='Ubuntu'
VERSION_ID="24.04"
ID=ubuntu
# ID=comment

HOME_URL="https://www.ubuntu.example/?a=b"
MIRROR=
"""


def test_assignments():
    assert parse_assignments(OS_RELEASE) == {
        "PRETTY_NAME": "Ubuntu 24.04.1 LTS",
        "NAME": "Ubuntu",
        "VERSION_ID": "24.04",
        "ID": "ubuntu",
        "HOME_URL": "https://www.ubuntu.example/?a=b",
        "MIRROR": "",
    }


UNITS = """\
Type=notify
Result=success
Id=ssh.service
Names=ssh.service sshd.service
LoadState=loaded
ActiveState=active
UnitFileState=enabled

Type=
Id=no.service
Names=no.service
LoadState=not-found
ActiveState=inactive
UnitFileState=
"""


def test_units():
    found = parse_units(UNITS)
    assert set(found) == {"ssh.service", "sshd.service", "no.service"}
    assert found["sshd.service"]["ActiveState"] == "active"
    assert found["no.service"]["UnitFileState"] == ""


def test_unit_list():
    listed = """\
  late.timer       loaded    active   elapsed Late
  cron.service     loaded    active   running Regular background program
● avahi.service    not-found inactive dead    avahi.service
* x-gone.service   masked    failed   failed
-.mount            loaded    active   mounted Root Mount
"""
    assert parse_unit_list(listed) == {
        "late.timer": ("loaded", "elapsed"),
        "cron.service": ("loaded", "active"),
        "avahi.service": ("not-found", "inactive"),
        "x-gone.service": ("masked", "failed"),
        "-.mount": ("loaded", "active"),
    }
    assert parse_unit_list("") == {}


def test_hosts():
    text = "127.0.0.1\tlocalhost  me # not.me\n::1 localhost\n\n# 192.0.2.1 jobs\n192.0.2.2 jobs\n"
    assert parse_hosts(text) == {
        "localhost": "127.0.0.1",
        "me": "127.0.0.1",
        "jobs": "192.0.2.2",
    }


def test_sets_of_the_packet_filter():
    """nft 1.0 lists no `dynamic`: those that a rule adds to are filled by packets."""
    of = {"family": "inet", "table": "t", "handle": 7}
    sets = [
        {**of, "name": "rates", "size": 9, "elem": [{"elem": {"val": 1000}}]},
        {**of, "name": "open", "size": 9, "elem": [443, 22]},
    ]
    add = {"set": {"op": "add", "elem": "x", "set": "@rates"}}
    look = {"match": {"op": "==", "left": "x", "right": "@open"}}
    rules = [{**of, "chain": "in", "expr": [each]} for each in (add, look)]
    listed = [*({"set": s} for s in sets), *({"rule": r} for r in rules)]
    rates, fixed, *_ = parse_nft(json.dumps({"nftables": listed}))["t"]
    assert "elem" not in rates["set"]
    assert fixed["set"]["elem"] == [22, 443]
