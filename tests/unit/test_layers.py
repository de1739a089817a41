"""The rooms of the tool, and what each may import."""

import ast
import importlib.util
import re
import sys
import sysconfig
from collections import Counter
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]
TOOL = "backend_server"
# From the bottom. A room imports rooms below it; entry.py and what runs it are above all.
ROOMS = [
    "text",
    "checkout",
    "host",
    "engine",
    "resources",
    "base",
    "storage",
    "access",
    "people",
    "desktop",
    "docker",
    "services",
    "jobs",
    "outputs",
    "review",
    "airlock",
    "run",
    "cli",
    "entry",
]
LEVEL = {name: level for level, name in enumerate(ROOMS)}
# Several rooms may have one: what a room declares is read first.
EVERY_ROOMS = {"__init__.py", "component.py"}


def files(*folders):
    return [
        path
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "__pycache__" not in path.parts
    ]


def dotted(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


STANDARD_LIBRARY = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
MODULES = {dotted(path) for path in files(TOOL)}


def imports(path):
    """The modules that a file names: `from package import module` names the module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports in full, without dots"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module


def tool_imports(path):
    """What a file imports from the tool, such as `resources.file`."""
    for name in imports(path):
        if name.startswith(f"{TOOL}."):
            yield name[len(TOOL) + 1 :]


def room_of(name):
    return name.partition(".")[0]


TOOL_FILES = {dotted(path)[len(TOOL) + 1 :]: path for path in files(TOOL)}


def test_every_file_is_in_a_room():
    assert {room_of(name) for name in TOOL_FILES if name} == set(ROOMS)
    assert [path.name for path in (ROOT / TOOL).glob("*.py")] == [
        "__init__.py",
        "entry.py",
    ]
    assert list(tool_imports(ROOT / TOOL / "__init__.py")) == []


@pytest.mark.parametrize("here", [name for name in TOOL_FILES if name])
def test_imports_point_down(here):
    for there in tool_imports(TOOL_FILES[here]):
        assert LEVEL[room_of(there)] <= LEVEL[room_of(here)], (
            f"{here} imports {there}, which is above it"
        )


@pytest.mark.parametrize("room", ROOMS)
def test_files_of_a_room_do_not_lean_on_each_other_in_a_circle(room):
    inside = {
        here: set(tool_imports(path)) & TOOL_FILES.keys()
        for here, path in TOOL_FILES.items()
        if room_of(here) == room
    }
    while inside:
        free = {here for here, used in inside.items() if not used & inside.keys()}
        assert free, f"a circle among {sorted(inside)}"
        inside = {here: used for here, used in inside.items() if here not in free}


def test_no_two_files_have_one_name():
    names = Counter(path.name for path in TOOL_FILES.values())
    assert {name for name, count in names.items() if count > 1} <= EVERY_ROOMS


BACKENDS = [
    path for path in sorted(ROOT.glob("*/backend.py")) if path.parent.name != TOOL
]


@pytest.mark.parametrize("path", BACKENDS, ids=dotted)
def test_backend_files_import_what_is_below_a_run(path):
    for there in tool_imports(path):
        assert LEVEL[room_of(there)] < LEVEL["run"], f"{path} imports {there}"


@pytest.mark.parametrize("path", files(TOOL, "sandbox", "roster"), ids=dotted)
def test_only_the_standard_library(path):
    # mypy brings typing_extensions, and alone reads the lines that import it.
    own = {TOOL, path.relative_to(ROOT).parts[0], "typing_extensions"}
    for name in {name.split(".")[0] for name in imports(path)} - own:
        assert in_standard_library(name), f"{path} imports {name}"


def in_standard_library(name):
    if name in sys.builtin_module_names:
        return True
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        return False
    if spec.origin == "frozen":
        return True
    installed = re.search("/(site|dist)-packages/", spec.origin)
    return not installed and spec.origin.startswith(STANDARD_LIBRARY)
