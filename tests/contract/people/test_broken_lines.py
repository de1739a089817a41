"""Whoever is revoked is out, whatever the files of accounts and other files look like."""

import os
import subprocess
from pathlib import Path

import pytest

from backend_server.checkout.keys import KEY_FOLDER as KEYS
from backend_server.engine.engine import component, walk
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.people import applied, doors, odd_lines, owned, revoking
from backend_server.resources import Group, Members, User
from backend_server.text.roles import MARKER
from tests.unit.example import public_key


pytestmark = pytest.mark.share("in force")

# findings/in-force/10-passwd-line: fox-it/dissect.target#995, mondoohq/mql#8659, ansible#71916.
BAD = {
    "/etc/passwd": "legacy:x:::Old account:/home/legacy:/bin/sh\nshort:x\n:x:0:0:::\n"
    "huge:x:99999999999999999999:-7::/:/bin/sh\n+@netgroup::::::\n-bad\n",
    "/etc/group": "legacygrp:x::\ndocker2\nhuge:x:-9:ada\n+:::\n:x:1:ada\n",
    "/etc/shadow": "legacy:*:never:0:99999:7:::\nshort\nx:::\n+::::::::\n",
    "/etc/gshadow": "legacygrp\nx:y:z:a:b:c\n+:::\n",
    "/etc/subuid": "gus:abc:65536\n1:2\nlxd:100000:600000000\ngus:5:-5\n",
    "/etc/subgid": "gus:abc:65536\n:::::\n",
    "/etc/hosts": "999.1.1.1\nnobody's line\n",
    "/etc/nsswitch.conf": ": [[[\npasswd files\n",
    "/etc/os-release": "=\nVERSION_ID='\n",
    "/etc/login.defs": "UID_MIN never\nUID_MAX -1\nNONSENSE\n",
    "/etc/fstab": "\\040 \\0\n",
    "/etc/docker/daemon.json": "{" + "[" * 5000,
    "/etc/sudoers": "Defaults \\\n",
    "/etc/ssh/sshd_config": "Match\nPort x\n",
    "/var/lib/dpkg/status": "Package:\nStatus: x\n\nPackage: y\nStatus: a b c d\n",
}
ODD = "\udcff\udcfe:\u2028x\r\n\0nul:x:0:0::/:\0\n   \n#\n\n%s:$(id):'\":x\r\nend:without:newline"


def run(*argv, stdin=""):
    return subprocess.run(argv, input=stdin, text=True, capture_output=True)


def spoil():
    """Every file has bad lines before and after its own, and none has a newline at its end."""
    for name, bad in BAD.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        good = path.read_bytes() if path.exists() else b""
        odd = ODD.encode("utf-8", "surrogateescape")
        if (
            path.is_symlink()
        ):  # /etc is a copy here; what it points to is the machine's own
            path.unlink()
        path.write_bytes(bad.encode() + good + b"\n" + bad.encode() + odd)


def gus_is_here(site):
    site = site("test", "debian 12")
    host = Host()
    groups = (Group(MARKER), Group("developers"), Group("docker", system=True))
    people = [
        User(n, home=f"/home/{n}", marker=MARKER) for n in ("ada", "grace", "gus")
    ]
    members = Members("docker", frozenset({"gus"}))
    for each in (*groups, *people, members, Members("developers", frozenset({"ada"}))):
        each.apply(host, each.check(host))
    assert not run("chpasswd", stdin="gus:a long word of gus\n").returncode
    Path(KEYS).mkdir(parents=True, exist_ok=True)
    for name in ("ada", "grace", "gus"):
        Path(KEYS, name).write_text(public_key(name))
    applied.keep(host, site)
    return site


def logs_in(name):
    """By the password, as somebody who is not root."""
    su = ("su", name, "-c", "echo in")
    found = run(
        "setpriv", "--reuid=daemon", "--clear-groups", *su, stdin="a long word of gus\n"
    )
    return "in" in found.stdout.split()


def in_docker():
    """As initgroups(3) has it."""
    return "docker" in run("id", "-Gn", "gus").stdout.split()


def begins():
    argv = ("setpriv", f"--reuid={UID}", "--clear-groups", "sleep", "600")
    return subprocess.Popen(argv)


def revoke(site):
    before = {path: others_of(path) for path in ACCOUNTS}
    entry = revoking.judged(Host(), site.backend, "gus", "a laptop was stolen")
    assert dict(revoking.revoke(Host(), entry))
    assert before == {path: others_of(path) for path in ACCOUNTS}


UID = 1002


ACCOUNTS = [
    path
    for path in BAD
    if path.startswith("/etc/") and path[5:] in "passwd shadow subuid subgid"
]


def others_of(path):
    """What is not about gus, which nobody may edit."""
    lines = Path(path).read_bytes().split(b"\n") if Path(path).exists() else ()
    return [line for line in lines if line and not line.startswith(b"gus:")]


def again(path, line):
    """Another line of the same name, at the end."""
    Path(path).write_text(Path(path).read_text() + line)


def change(path, old, new):
    text = Path(path).read_text()
    assert old in text
    Path(path).write_text(text.replace(old, new))


def own_line(path):
    lines = Path(path).read_text().splitlines(keepends=True)
    return next(line for line in lines if line.startswith("gus:"))


OWN = {
    "as they were": lambda: None,
    "shadow without days": lambda: change(
        "/etc/shadow",
        own_line("/etc/shadow"),
        own_line("/etc/shadow").replace(":0:99999:", ":never:99999:"),
    ),
    "shadow twice": lambda: again("/etc/shadow", own_line("/etc/shadow")),
    "passwd twice": lambda: again("/etc/passwd", own_line("/etc/passwd")),
    "blanks in group": lambda: change("/etc/group", ":gus\n", ":daemon, gus\n"),
    "group twice": lambda: again("/etc/group", "docker:x:999:gus\n"),
    "group cut short": lambda: change("/etc/group", f"{MARKER}:x:", f"{MARKER}:y::"),
    "no gshadow": lambda: os.unlink("/etc/gshadow"),
    "a lock that was left": lambda: Path("/etc/passwd.lock").write_text("1"),
}


@pytest.mark.parametrize("own", OWN)
def test_whoever_is_revoked_is_out(site, own, monkeypatch):
    site = gus_is_here(site)
    assert HostReader().users()["gus"].uid == UID
    assert logs_in("gus")
    assert in_docker()
    monkeypatch.setattr(owned, "files", lambda host, name: [])  # of all this machine
    process = begins()
    OWN[own]()
    if own == "as they were":  # then chage never ends
        monkeypatch.setattr(doors, "_ASK_S", 3)
        spoil()
        assert len(list(odd_lines.notes(HostReader()))) > len(BAD)
    revoke(site)
    assert process.wait(10) == -9
    assert not logs_in("gus")
    assert not in_docker()
    assert not Path(KEYS, "gus").exists()


@pytest.mark.parametrize(
    "text",
    [
        "lxd:100000:600000000\n",
        # shadow-maint/shadow#459: no room up to SUB_UID_MAX; a number for a name, and two that overlap
        "0:100000:600100000\n",
        "root:65536:4294901760\n",
        "lxd:100000:300000000\nroot:100000:65536\nlxd:300000000:400000000\n",
    ],
)
def test_subordinate_ids_that_are_all_taken(site, text):
    """findings/in-force/11-subuid-full: canonical/lxd#3901."""
    for name in ("/etc/subuid", "/etc/subgid"):
        Path(name).write_text(text)
    # As useradd does by itself, which the test would not notice otherwise.
    assert run("useradd", "mallory").returncode
    gus_is_here(site)
    assert "gus" in HostReader().users()
    assert Path("/etc/subuid").read_text() == text


def test_one_account_that_cannot_be_made_holds_up_nobody_else(site):
    host = Host()
    people = [User(n, home=f"/home/{n}", marker=MARKER) for n in ("ada", "gus", "rita")]
    Path("/home/gus").write_text("somebody's")  # no folder, so no home
    groups = (Group(MARKER), Group("developers"))
    members = Members("developers", frozenset({"ada", "gus", "rita"}))
    part = component("people", (*groups, *people, members))
    found = {str(o.resource): o for o in walk((part,), host)}
    assert found["User gus"].error
    assert all(o.reached for o in found.values())
    assert not any(o.error for name, o in found.items() if name != "User gus")
    assert host.members("developers") == {"ada", "rita"}
