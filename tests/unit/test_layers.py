"""A file imports only what lies below it, and nothing beside it that is not named here."""

import ast
import importlib.util
import re
import sys
import sysconfig
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]
TOOL = "backend_server"
LAYERS = [
    ["errors", "change", "problem"],
    [
        "acl",
        "parsers",
        "names",
        "rosters",
        "roles",
        "releases",
        "backend",
        "service",
        "env",
        "images",
        "networks",
        "credentials",
        "manifest",
        "windows",
        "containers",
        "blob",
        "https",
        "sshd",
    ],
    ["keys", "kinds", "pam", "xrdp"],
    ["offers", "settings"],
    ["github"],
    ["host"],
    ["resource"],
    [
        "engine",
        "report",
        "history",
        "gather",
        "held",
        "lock",
        "endpoints",
        "resources",
    ],
    ["components", "applied", "keyring", "notices", "reviewers"],
    [
        "backends",
        "confirm",
        "modes",
        "preflight",
        "guard",
        "lookalikes",
        "first_password",
        "given_password",
        "second_factor",
        "narrowing",
        "progress",
        "pushed",
        "outgoing",
        "jobs",
        "disk",
        "updates",
    ],
    ["people", "remarks", "services", "push"],
    ["watching"],
    ["run", "status", "revoking", "tidy", "proving"],
    ["maintenance"],
    ["consent"],
    ["updating"],
    ["commands"],
    ["options"],
    ["arguments"],
    ["cli"],
    ["entry"],
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
# What those beside it may import too: in return it imports nothing beside it.
SHARED = {
    *("names", "engine", "resources.file", "commands.output"),
    *("components.verbatim", "components.storage"),
}
# Here the files of one folder may lean on each other as they like.
OPEN_FOLDERS = {"host"}


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
    """What a file imports from the tool, as LAYERS names it: `resources.file`."""
    for name in imports(path):
        if name.startswith(f"{TOOL}."):
            yield name[len(TOOL) + 1 :]


def level(name):
    return LEVEL[name.split(".")[0]]


def may_lean(here, there):
    """Whether a file may import one that is beside it: in its folder, or in its layer."""
    folder = here.split(".")[0]
    inside = there.startswith(f"{folder}.")
    gathers = here == folder
    shared = there in SHARED and here not in SHARED and level(there) == level(here)
    return shared or (inside and (gathers or folder in OPEN_FOLDERS))


TOOL_FILES = {dotted(path)[len(TOOL) + 1 :]: path for path in files(TOOL)}


def test_every_file_has_a_layer():
    assert {name.split(".")[0] for name in TOOL_FILES if name} <= LEVEL.keys()
    assert list(tool_imports(ROOT / TOOL / "__init__.py")) == []


@pytest.mark.parametrize("here", [name for name in TOOL_FILES if name])
def test_imports_point_down(here):
    for there in tool_imports(TOOL_FILES[here]):
        below = level(there) < level(here)
        assert below or may_lean(here, there), (
            f"{here} imports {there}, which is not below it"
        )


def test_what_is_shared_is_imported_from_beside():
    used = {
        there
        for here, path in TOOL_FILES.items()
        for there in tool_imports(path)
        if level(here) == level(there) and here != there.split(".")[0]
    }
    assert used >= SHARED


BACKENDS = [
    path for path in sorted(ROOT.glob("*/backend.py")) if path.parent.name != TOOL
]


@pytest.mark.parametrize("path", BACKENDS, ids=dotted)
def test_backend_files_import_components_and_what_is_below(path):
    for there in tool_imports(path):
        assert level(there) < LEVEL["backends"], f"{path} imports {there}"


@pytest.mark.parametrize("path", files(TOOL, "sandbox", "review"), ids=dotted)
def test_only_the_standard_library(path):
    own = {TOOL, path.relative_to(ROOT).parts[0]}
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
