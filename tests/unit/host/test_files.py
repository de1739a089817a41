"""Reading and writing below a made-up root, as whoever runs the tests.

What needs root, links above all, is in tests/contract/host/test_links.py and
tests/contract/engine/test_disturbed.py.
"""

import os
from pathlib import Path

import pytest

from backend_server.host import files
from backend_server.host.folder import parent_of
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.text.errors import CommandFailed, Refused, UserError


@pytest.fixture
def root(tmp_path):
    """Here `root` is whoever runs the tests."""
    (tmp_path / "etc").mkdir()
    line = f"root:x:{os.getuid()}:{os.getgid()}::/root:/bin/sh\n"
    (tmp_path / "etc/passwd").write_text(line)
    (tmp_path / "etc/group").write_text(f"root:x:{os.getgid()}:\n")
    return tmp_path


@pytest.fixture
def host(root):
    return Host(root)


# ---- writing


@pytest.mark.parametrize("text", ["", "a\n", "ü\n", "bytes: \udcff\n", "x" * 300000])
def test_exactly_this_text_and_mode(host, root, text):
    host.write("/etc/new/file", text, 0o640)
    path = root / "etc/new/file"
    assert path.read_bytes() == text.encode("utf-8", "surrogateescape")
    assert path.stat().st_mode & 0o7777 == 0o640
    assert host.read("/etc/new/file") == text
    assert os.listdir(root / "etc/new") == ["file"]


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o4755, 0o2750, 0o000])
def test_modes_whatever_the_umask(host, root, mode):
    old = os.umask(0o077)
    try:
        host.write("/etc/file", "a\n", mode)
    finally:
        os.umask(old)
    assert (root / "etc/file").stat().st_mode & 0o7777 == mode


def test_a_reader_of_the_old_file_keeps_it_whole(host, root):
    host.write("/etc/file", "old\n", 0o644)
    with (root / "etc/file").open() as reader:
        host.write("/etc/file", "new\n", 0o644)
        assert reader.read() == "old\n"


def test_what_is_refused_by_its_validator_never_lands(host, root):
    seen = []

    def validate(candidate):
        seen.append((Path(candidate).name, Path(candidate).read_text()))
        raise UserError("it is no good")

    host.write("/etc/file", "old\n", 0o644)
    with pytest.raises(UserError, match="no good"):
        host.write("/etc/file", "new\n", 0o644, validate=validate)
    assert (root / "etc/file").read_text() == "old\n"
    ((name, text),) = seen
    assert (name[:6], name[-4:], text) == (".file.", ".tmp", "new\n")
    assert sorted(os.listdir(root / "etc")) == ["file", "group", "passwd"]


def test_only_our_own_leftovers_are_swept(host, root):
    ours = ".file.0123abcd.tmp"
    others = [".file.tmp", ".file.0123.tmp", ".filed.0123abcd.tmp", "file.0123abcd.tmp"]
    for name in [ours, *others]:
        (root / "etc" / name).touch()
    host.write("/etc/file", "a\n", 0o644)
    assert set(os.listdir(root / "etc")) == {"file", "group", "passwd", *others}


def test_an_owner_who_is_not_there(host, root):
    with pytest.raises(CommandFailed, match="there is no user nobody-here"):
        host.write("/etc/file", "a\n", 0o644, owner="nobody-here")
    with pytest.raises(CommandFailed, match="there is no group nobody-here"):
        host.write("/etc/file", "a\n", 0o644, group="nobody-here")
    assert not (root / "etc/file").exists()


@pytest.mark.parametrize("text", ["", "a\n", "longer than it was before\n"])
def test_rewrite_keeps_the_inode_mode_and_owner(host, root, text):
    path = root / "etc/hosts"
    path.write_text("127.0.0.1 localhost\n")
    path.chmod(0o604)
    before = path.stat()
    host.rewrite("/etc/hosts", text)
    after = path.stat()
    assert path.read_text() == text
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert sorted(os.listdir(root / "etc")) == ["group", "hosts", "passwd"]


def test_rewrite_makes_no_file(host, root):
    with pytest.raises(FileNotFoundError):
        host.rewrite("/etc/hosts", "a\n")
    assert not (root / "etc/hosts").exists()


def test_a_file_on_the_way_is_no_way(host):
    with pytest.raises(Refused, match="passwd on the way is no directory"):
        host.write("/etc/passwd/new", "a\n", 0o644)


def test_remove_takes_the_link_not_its_target(host, root):
    (root / "etc/link").symlink_to("passwd")
    host.remove("/etc/link")
    assert sorted(os.listdir(root / "etc")) == ["group", "passwd"]


@pytest.mark.parametrize("path", ["/etc/x", "/x", "/etc/./x", "//etc//x", "/etc/../x"])
def test_the_folder_of_a_path(root, path):
    with parent_of(str(root), path, make=False) as (folder, name):
        real = os.readlink(f"/proc/self/fd/{folder}")
    assert Path(real, name) == Path(os.path.normpath(f"{root}/{path}"))


def test_a_folder_that_another_program_makes_at_the_same_time(host, monkeypatch):
    """As two services do that begin together at boot."""
    real = os.mkdir

    def late(*words, **at):
        real(*words, **at)
        real(*words, **at)

    monkeypatch.setattr(os, "mkdir", late)
    host.write("/run/of/ours/file", "a\n", 0o644)
    assert host.read("/run/of/ours/file") == "a\n"


def test_no_descriptor_is_left_open(root):
    before = os.listdir("/proc/self/fd")
    for path in ("/etc/x", "/none/x", "/etc/passwd/x", "/a/b/c/d"):
        try:
            with parent_of(str(root), path, make=path == "/a/b/c/d"):
                pass
        except (OSError, Refused):
            pass
    assert os.listdir("/proc/self/fd") == before


def test_writing_goes_on_where_the_system_stopped_short(monkeypatch, tmp_path):
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data)[:3]))
    fd = os.open(tmp_path / "x", os.O_WRONLY | os.O_CREAT)
    files.write_all(fd, b"0123456789")
    os.close(fd)
    assert (tmp_path / "x").read_bytes() == b"0123456789"


# ---- reading


MISSING = ["/none", "/none/x", "/etc/passwd/x"]


@pytest.mark.parametrize("path", MISSING)
def test_what_is_missing_is_no_error(root, path):
    reader = HostReader(root)
    assert reader.stat(path) is None
    assert reader.read(path) is None
    assert reader.link(path) is None
    assert reader.names(path) == ()
    assert not reader.writable(path)
    assert reader.parsed(path, len) == 0


def test_a_folder_is_no_text(root):
    assert HostReader(root).read("/etc") is None
    assert HostReader(root).names("/etc") == ("group", "passwd")


def test_a_bare_host_has_nobody(tmp_path):
    reader = HostReader(tmp_path)
    assert reader.users() == reader.groups() == reader.packages() == {}
    assert reader.members("sudo") == frozenset()
    assert reader.shadow() == {}
    assert (reader.user_name(0), reader.group_name(0)) == ("0", "0")
    assert reader.boot_id() == ""


def test_a_file_is_parsed_once_until_it_changes(root):
    reader, parsed = HostReader(root), []

    def parse(text):
        parsed.append(text)
        return len(text)

    path = root / "file"
    path.write_text("a")
    assert [reader.parsed("/file", parse) for _ in range(3)] == [1, 1, 1]
    assert parsed == ["a"]
    path.write_text("bb")
    assert reader.parsed("/file", parse) == 2
    os.utime(path, ns=(1, 1))
    assert reader.parsed("/file", parse) == 2
    assert len(parsed) == 3
    (root / "other").write_text("cc")
    os.utime(root / "other", ns=(1, 1))
    (root / "other").rename(path)
    reader.parsed("/file", parse)
    assert parsed[3:] == ["cc"]
    path.unlink()
    assert reader.parsed("/file", parse) == 0


def test_accounts_are_seen_as_soon_as_they_are_there(host, root):
    assert "ada" not in host.users()
    with (root / "etc/passwd").open("a") as file:
        file.write("ada:x:4242:4242::/home/ada:/bin/sh\n")
    assert host.user_name(4242) == "ada"
