"""Nobody but root can lead a write of ours astray."""

import os
from pathlib import Path

import pytest

from backend_server.base.hosts_block import HostsBlock
from backend_server.engine import engine
from backend_server.engine.engine import component
from backend_server.host.writer import Host
from backend_server.resources import Directory, File, FileMode, NoFile
from backend_server.text.errors import Refused


USER = 1234


@pytest.fixture
def root(place):
    """A made-up root below a real one: /home/ada is a user's, everything else root's."""
    return place / "root"


@pytest.fixture
def host(root):
    def make():
        for folder in ("etc", "home/ada/docs", "target", "tmp"):
            (root / folder).mkdir(parents=True)
        (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
        (root / "etc/group").write_text("root:x:0:\n")
        (root / "target/file").write_text("precious\n")
        (root / "target/file").chmod(0o640)
        (root / "tmp").chmod(0o1777)
        for path in (root / "home/ada", root / "home/ada/docs"):
            os.chown(path, USER, USER)
        return Host(root)

    return make


def link(root, path, target, uid):
    at = root / path.lstrip("/")
    os.symlink(target, at)
    os.chown(at, uid, uid, follow_symlinks=False)


def text(root, path):
    found = root / path
    return found.read_text() if found.exists() else None


# Link, whose, and where a write to LINK/file goes: None where it is Refused.
ON_THE_WAY = [
    ("/etc/here", "/target", 0, "target/file"),
    ("/etc/here", "../target", 0, "target/file"),
    ("/etc/here", "/etc/there", 0, "etc/there/file"),
    ("/etc/here", "/target", USER, None),
    ("/home/ada/here", "/target", USER, None),
    ("/home/ada/here", "/target", 0, None),
    ("/home/ada/docs/here", "/target", 0, None),
    ("/tmp/here", "/target", USER, None),
    ("/tmp/here", "/target", 0, None),
    ("/etc/here", "/etc/here", 0, None),
    ("/etc/here", "/home/ada/docs", 0, "home/ada/docs/file"),
]


@pytest.mark.parametrize(("path", "target", "owner", "lands"), ON_THE_WAY)
def test_a_link_on_the_way(root, host, path, target, owner, lands):
    made = host()
    link(root, path, target, owner)
    if lands:
        made.write(f"{path}/file", "ours\n", 0o644)
        assert text(root, lands) == "ours\n"
    else:
        with pytest.raises(Refused, match="somebody other than root could have made"):
            made.write(f"{path}/file", "ours\n", 0o644)
    assert lands == "target/file" or text(root, "target/file") == "precious\n"


ACTS = {
    "write": lambda host, path: host.write(path, "ours\n", 0o644),
    "rewrite": lambda host, path: host.rewrite(path, "ours\n"),
    "remove": lambda host, path: host.remove(path),
    "make_directory": lambda host, path: host.make_directory(
        path, 0o755, "root", "root"
    ),
    "set_access": lambda host, path: host.set_access(path, 0o666, "root", "root"),
    "set_mode": lambda host, path: host.set_mode(path, 0o666),
}


def is_precious(root):
    found = root / "target/file"
    assert (found.read_text(), found.stat().st_mode & 0o777) == ("precious\n", 0o640)


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_no_way_of_changing_follows_a_users_link(root, host, act):
    made = host()
    link(root, "/home/ada/here", "/target", USER)
    with pytest.raises(Refused):
        act(made, "/home/ada/here/file")
    is_precious(root)


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_no_way_of_changing_follows_a_link_at_the_end(root, host, act):
    """Not even root's: what is declared is what is at the path itself."""
    made = host()
    link(root, "/etc/file", "/target/file", 0)
    try:
        act(made, "/etc/file")
    except OSError:
        assert os.readlink(root / "etc/file") == "/target/file"
    is_precious(root)


@pytest.mark.parametrize(
    "resource",
    [
        File("/home/ada/here/file", "ours\n"),
        FileMode("/home/ada/here/file", 0o666),
        NoFile("/home/ada/here/file"),
        Directory("/home/ada/here/new"),
        HostsBlock("/home/ada/here/file", "::1 a\n"),
    ],
    ids=str,
)
def test_a_run_says_so_and_goes_on(root, host, resource):
    made = host()
    link(root, "/home/ada/here", "../../target", USER)
    parts = [
        component("astray", [resource]),
        component("other", [File("/etc/other", "ours\n")]),
    ]
    astray, other = engine.walk(parts, made)
    assert "on the way is a link" in str(astray.error)
    assert other.error is None
    is_precious(root)


def test_folders_on_the_way_are_roots_whatever_the_umask(root, host):
    made = host()
    os.umask(0)
    made.write("/srv/a/b/file", "ours\n", 0o600)
    for path in (root / "srv", root / "srv/a", root / "srv/a/b"):
        found = path.stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (0, 0, 0o755)


def test_a_candidate_is_nobodys_to_read_before_it_is_right(root, host):
    made, seen = host(), []

    def look(candidate):
        found = Path(candidate).stat()
        seen.append((found.st_uid, found.st_mode & 0o777))

    os.umask(0)
    made.write("/etc/secret", "ours\n", 0o600, validate=look)
    assert seen == [(0, 0o600)]
