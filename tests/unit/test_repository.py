"""What must hold for the repository as a whole."""

import ast
import os
import re
from collections import Counter
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]
NOT_OURS = {".git", ".venv", "__pycache__", ".hypothesis"}


def our_files():
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(
            name for name in folders if name not in NOT_OURS and "cache" not in name
        )
        yield from (Path(folder, name) for name in sorted(names))


def under(*folders):
    return [
        path
        for path in our_files()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in folders
    ]


def name_of(path):
    return str(path.relative_to(ROOT))


ROSTERS = [
    ROOT / "developers",
    *sorted(ROOT.glob("*/researchers")),
    *sorted(ROOT.glob("*/reviewers")),
]


@pytest.mark.parametrize("roster", ROSTERS, ids=name_of)
def test_rosters_name_nobody(roster):
    for line in roster.read_text().splitlines():
        assert not line.strip() or line.lstrip().startswith("#"), f"{roster}: {line}"


def test_no_key_is_in_the_repository():
    assert [path.name for path in (ROOT / "keys").iterdir()] == ["README.md"]


# In halves, or this file would name them itself.
REGISTRIES = [
    "pypi" + ".org",
    "python" + "hosted.org",
    "npm" + "js.",
    "crates" + ".io",
    "proxy.golang" + ".org",
    "deb.debian" + ".org",
    "security.debian" + ".org",
    "ftp.debian" + ".org",
    "snapshot.debian" + ".org",
    "archive.ubuntu" + ".com",
    "security.ubuntu" + ".com",
    "ports.ubuntu" + ".com",
    "launchpad" + "content.net",
]


def hosts_of_this_machine():
    """Where this machine gets its packages from: a test run must not write that down either."""
    places = [Path("/etc/apt/sources.list"), *Path("/etc/apt").glob("sources.list.d/*")]
    text = "\n".join(path.read_text() for path in places if path.is_file())
    text += "\n".join(value for name, value in os.environ.items() if name[:4] == "PIP_")
    hosts = set(re.findall(r"https?://(?:[^/@\s]*@)?([\w-]+(?:\.[\w-]+)+)", text))
    return {host.lower() for host in hosts if not host.endswith(".opensafely.org")}


def test_no_file_names_a_registry_or_a_mirror():
    hosts = {*REGISTRIES, *hosts_of_this_machine()}
    found = {
        f"{name_of(path)} names {host}"
        for path in our_files()
        for text in [path.read_text(errors="replace").lower()]
        for host in hosts
        if host in text
    }
    assert found == set()


# Files under etc/ are read by the host's own shells, not run.
SCRIPTS = [
    path
    for path in our_files()
    if path.suffix == ".sh" and path.relative_to(ROOT).parts[0] != "etc"
]


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_scripts_run_by_bash(script):
    assert script.read_text().split("\n")[0] in ("#!/bin/bash", "#!/bin/bash -p")
    assert os.access(script, os.X_OK)


BACKENDS = [
    path
    for path in sorted(ROOT.glob("*/backend.py"))
    if path.parent.name != "backend_server"
]


@pytest.mark.parametrize("backend", BACKENDS, ids=name_of)
def test_backends_say_only_what_is_different_there(backend):
    assert len(backend.read_text().splitlines()) <= 60


def test_manage_sh_is_the_same_on_all_backends():
    """So that a copied one is right, and a mended one is mended everywhere."""
    every = [path.parent / "manage.sh" for path in BACKENDS]
    assert sorted(ROOT.glob("*/manage.sh")) == every
    assert len({path.read_bytes() for path in every}) == 1


def test_the_tool_and_its_rooms_stay_small():
    lines = Counter()
    for path in under("backend_server"):
        lines[path.relative_to(ROOT).parts[1]] += sum(1 for _ in code(path))
    assert sum(lines.values()) < 14_580
    assert {room: found for room, found in lines.items() if found > 1_800} == {}


def code(path):
    """The lines of a file but for blank ones, comments and docstrings."""
    text = path.read_text()
    said = {line for node in ast.walk(ast.parse(text)) for line in docstring(node)}
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#") and number not in said:
            yield line


def docstring(node):
    """The numbers of its lines; none where there is no docstring."""
    described = (ast.Module, ast.ClassDef, ast.FunctionDef)
    if isinstance(node, described) and ast.get_docstring(node) is not None:
        yield from range(node.body[0].lineno, node.body[0].end_lineno + 1)


@pytest.mark.parametrize(
    "path", under("backend_server", "sandbox", "roster"), ids=name_of
)
def test_files_and_functions_stay_short(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = node.end_lineno - node.lineno + 1
            assert lines <= 50, f"{path}: {node.name} has {lines} lines"
