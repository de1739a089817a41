"""Before anything is imported: tests/contract/checkout/test_checkout.py has what needs root."""

import ast
import os
import stat
from pathlib import Path

import pytest

from backend_server import entry


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
        *("gc", "os", "stat", "sys", "time"),
    }


def test_an_old_python_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(entry.sys, "version_info", (3, 7, 9))
    monkeypatch.setattr(entry.sys, "argv", ["entry.py", "/srv/checkout", "test"])
    assert entry.main() == 2
    said = capsys.readouterr().err
    assert said.startswith("error: this is Python 3.7; wanted 3.8 or newer\n   try: ")
