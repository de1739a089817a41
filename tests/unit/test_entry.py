"""Before anything is imported: tests/contract/checkout/test_checkout.py has what needs root."""

import ast
import grp
import json
import os
import stat
from pathlib import Path

import pytest

from backend_server import entry
from backend_server.engine import history, notices
from backend_server.host.writer import Host


ENTRY = Path(entry.__file__)


def found(mode, uid=0):
    return os.stat_result((mode, 1, 1, 1, uid, 0, 0, 0, 0, 0))


# Mode, owner; open to others.
CASES = [
    (stat.S_IFDIR | 0o755, 0, False),
    (stat.S_IFDIR | 0o2755, 0, False),
    (stat.S_IFDIR | 0o775, 0, True),
    (stat.S_IFDIR | 0o757, 0, True),
    (stat.S_IFDIR | 0o1777, 0, True),
    (stat.S_IFDIR | 0o1777, 1000, True),
    (stat.S_IFDIR | 0o700, 1000, True),
    (stat.S_IFREG | 0o644, 0, False),
    (stat.S_IFREG | 0o664, 0, True),
    (stat.S_IFREG | 0o600, 65534, True),
]


@pytest.mark.parametrize(("mode", "uid", "open_to_others"), CASES)
def test_open_to_others(mode, uid, open_to_others):
    assert entry.open_to_others(found(mode, uid)) is open_to_others


def test_an_old_python_can_read_it_and_is_told():
    """What an old Python cannot parse, it cannot refuse."""
    tree = ast.parse(ENTRY.read_text(), feature_version=(3, 4))
    found = {type(node).__name__ for node in ast.walk(tree)}
    assert not found & {"JoinedStr", "AnnAssign", "NamedExpr", "AsyncFunctionDef"}
    imports = [n for n in tree.body if isinstance(n, (ast.Import, ast.ImportFrom))]
    assert {alias.name for n in imports for alias in n.names} == {
        *("gc", "os", "signal", "stat", "sys", "time"),
    }


def test_an_old_python_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(entry.sys, "version_info", (3, 7, 9))
    monkeypatch.setattr(entry.sys, "argv", ["entry.py", "/srv/checkout", "test"])
    assert entry.main() == 2
    said = capsys.readouterr().err
    assert said.startswith("error: this is Python 3.7; wanted 3.8 or newer\n   try: ")


def test_a_refusal_says_the_same_to_programs(monkeypatch, capfd):
    monkeypatch.setattr(entry.sys, "version_info", (3, 7, 9))
    argv = ["entry.py", "/srv/checkout", "test", "status", "--json"]
    monkeypatch.setattr(entry.sys, "argv", argv)
    assert entry.main() == 2
    out, err = capfd.readouterr()
    found = json.loads(out)
    assert out.count("\n") == 1
    assert (found["format"], found["exit"]) == (1, 2)
    assert err == f"error: {found['error']}\n   try: {found['hint']}\n"


def test_an_output_that_takes_nothing_is_no_traceback(monkeypatch, capsys):
    full = os.open("/dev/full", os.O_WRONLY)
    write = os.write
    monkeypatch.setattr(entry.os, "write", lambda _, data: write(full, data))
    monkeypatch.setattr(entry.sys, "argv", ["entry.py", "/srv", "test", "--json"])
    assert entry.refuse("wrong\n   try: this") == 2
    os.close(full)
    assert capsys.readouterr().err == "error: wrong\n   try: this\n"


def test_developers_are_told_as_by_anybody_else(monkeypatch, tmp_path):
    """engine/notices.py and this file write the same lines, and each goes by the other's."""
    host, file = Host(tmp_path), tmp_path / notices.NOTICES.lstrip("/")
    assert entry.NOTICES == notices.NOTICES
    file.parent.mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    me = grp.getgrgid(os.getgid())
    monkeypatch.setattr(grp, "getgrnam", lambda name: me)
    monkeypatch.setattr(entry, "NOTICES", str(file))
    monkeypatch.setattr(entry.os, "fchown", lambda *_: None)
    wrong = "/srv/x can be changed by somebody"
    for _ in range(2):
        entry.tell_developers(wrong)
    (line,) = notices.recent(host)
    written = []
    monkeypatch.setattr(
        host, "write", lambda _, text, mode, **__: written.append((text, mode))
    )
    monkeypatch.setattr(history, "now", lambda ago_s=0: line.partition(" ")[0])
    notices.tell(host, f"refused to run: {wrong}")
    assert written == [(f"{line}\n", 0o640)]  # the same, of which the last counts
    assert file.stat().st_mode & 0o7777 == 0o640
    file.write_text(written[0][0])
    entry.tell_developers(wrong)
    assert file.read_text() == written[0][0]
