"""A file as it was before a change, whatever happens in between."""

from pathlib import Path

import pytest

from backend_server.host import undo
from backend_server.host.writer import Host


FILE = Path("/etc/contract.conf")
KEPT = Path(undo.FOLDER)


def kept():
    return sorted(path.name for path in KEPT.iterdir()) if KEPT.exists() else []


@pytest.mark.parametrize("mode", [0o644, 0o440, 0o600])
@pytest.mark.parametrize("data", [b"", b"old\n", b"\xff\xfe\n", b"a\r\nb"])
def test_an_old_file_comes_back(data, mode):
    FILE.write_bytes(data)
    FILE.chmod(mode)
    host = Host()
    undo.keep(host, str(FILE))
    host.write(str(FILE), "new\n", 0o777)
    undo.bring_back(host, str(FILE))
    assert FILE.read_bytes() == data
    assert FILE.stat().st_mode & 0o7777 == mode
    assert kept() == []


def test_a_file_that_was_not_there_goes():
    host = Host()
    undo.keep(host, str(FILE))
    host.write(str(FILE), "new\n", 0o644)
    undo.bring_back(host, str(FILE))
    assert not FILE.exists()
    assert kept() == []
    undo.keep(host, str(FILE))
    undo.bring_back(host, str(FILE))  # killed before it was written
    assert kept() == []


def test_what_a_killed_run_kept_is_the_older():
    host = Host()
    FILE.write_text("proven\n")
    undo.keep(host, str(FILE))
    host.write(str(FILE), "killed before its proof\n", 0o644)
    undo.keep(Host(), str(FILE))
    host.write(str(FILE), "worse\n", 0o644)
    undo.bring_back(Host(), str(FILE))
    assert FILE.read_text() == "proven\n"


def test_a_proven_change_stays():
    host = Host()
    FILE.write_text("old\n")
    undo.keep(host, str(FILE))
    host.write(str(FILE), "new\n", 0o644)
    undo.forget(host, str(FILE))
    undo.bring_back(host, str(FILE))
    assert FILE.read_text() == "new\n"
    assert kept() == []


def test_a_copy_is_roots_alone():
    FILE.write_text("secret\n")
    undo.keep(Host(), str(FILE))
    assert {path.stat().st_mode & 0o777 for path in KEPT.iterdir()} == {0o600}


# ---- several files that come back as one


OTHER = Path("/etc/contract-other.conf")


def test_all_come_back_together():
    FILE.write_text("old\n")
    FILE.chmod(0o600)
    host = Host()
    undo.keep_together(host, [str(FILE)])
    host.write(str(FILE), "new\n", 0o644)
    undo.keep_together(Host(), [str(FILE), str(OTHER)])  # the next run: the older stays
    assert undo.differing(host) == (str(FILE),)
    host.write(str(OTHER), "new\n", 0o644)
    assert undo.differing(host) == tuple(sorted((str(FILE), str(OTHER))))
    for _ in range(2):
        undo.bring_back_together(Host())
        assert undo.differing(host) == ()
        assert (FILE.read_text(), OTHER.exists()) == ("old\n", False)
        assert FILE.stat().st_mode & 0o7777 == 0o600
    assert Path(undo.TOGETHER).stat().st_mode & 0o777 == 0o600
    undo.forget_together(host)
    assert not undo.kept_together(host)
    undo.forget_together(host)
    undo.bring_back_together(host)
