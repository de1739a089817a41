"""Who changed what, and when."""

import json
import os

import pytest

from backend_server.engine import history
from backend_server.host.writer import Host


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


@pytest.fixture
def place(tmp_path):
    path = tmp_path / history.HISTORY.lstrip("/")
    path.parent.mkdir(parents=True)
    return path


def runs(host):
    return [entry["run"] for entry in history.entries(host)]


def test_newest_first(host):
    for number in (1, 2, 3):
        history.append(host, {"run": number})
    assert runs(host) == [3, 2, 1]


def test_no_history_yet(host):
    assert runs(host) == []


@pytest.mark.parametrize(
    "cut", [b'{"run": 2, "x', b'{"run": 2', b"\xff", b"\n\n", b"7"]
)
def test_a_line_that_was_cut_short_spoils_no_other(host, place, cut):
    place.write_bytes(b'{"run": 1}\n' + cut)
    history.append(host, {"run": 3})
    assert runs(host) == [3, 1]
    assert place.read_bytes().endswith(b'\n{"run": 3}\n')
    assert place.read_bytes().startswith(b'{"run": 1}\n' + cut)


def test_a_line_is_one_line_whatever_is_in_it(host, place):
    history.append(host, {"run": 1, "text": "a\nb\u2028c\x85\udcff"})
    assert runs(host) == [1]
    assert place.read_bytes().count(b"\n") == 1
    assert json.loads(place.read_text())["text"] == "a\nb\u2028c\x85\udcff"


def test_it_is_closed_to_others(host, place):
    place.parent.rmdir()
    old = os.umask(0)
    try:
        history.append(host, {"run": 1})
    finally:
        os.umask(old)
    assert place.stat().st_mode & 0o777 == 0o640
    assert place.parent.stat().st_mode & 0o777 == 0o750


def test_a_link_in_its_place_is_not_followed(host, place, tmp_path):
    (tmp_path / "precious").write_text("precious")
    place.symlink_to(tmp_path / "precious")
    with pytest.raises(Exception, match="symbolic links"):
        history.append(host, {"run": 1})
    assert (tmp_path / "precious").read_text() == "precious"


# loginuid; SUDO_USER; who it was.
WHO = [
    ("4000", "", "ada"),
    ("4000", "grace", "ada"),
    ("4242", "grace", "4242"),
    ("4294967295", "grace", "grace"),
    ("4294967295", "", "me"),
    (None, "grace", "grace"),
    ("", "", "me"),
]


@pytest.mark.parametrize(("login", "sudo", "who"), WHO)
def test_the_person_behind_a_run(host, tmp_path, monkeypatch, login, sudo, who):
    for folder in ("etc", "proc/self"):
        (tmp_path / folder).mkdir(parents=True)
    me = f"me:x:{os.getuid()}:0::/:/bin/sh\nada:x:4000:0::/:/bin/sh\n"
    (tmp_path / "etc/passwd").write_text(me)
    if login is not None:
        (tmp_path / "proc/self/loginuid").write_text(login)
    monkeypatch.setenv("SUDO_USER", sudo)
    assert history.who(host) == who


def test_times_are_utc():
    assert history.now()[-1] == "Z"
    assert len(history.now()) == 20
