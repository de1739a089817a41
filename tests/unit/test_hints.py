"""Each hint of the source is in tests/hints.py: pasted by a test, or words for a reason."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.hints import NO_COMMAND, PASTED


ROOT = Path(__file__).parents[2]
HOSTS = ROOT / "tests/hosts"
ERRORS = {"Refused", "UserError", "CommandFailed", "OutsideWorld", "Busy", "NoDocker"}
NAMES = {"hint", "mends"}


def template(node):
    """What a literal says, `{}` for what is put in; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = (v.value if isinstance(v, ast.Constant) else "{}" for v in node.values)
        return "".join(parts)
    return None


def literals(tree):
    """Whatever is given as a hint, or called one, and what strings have after `try: `."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            yield from (k.value for k in node.keywords if k.arg == "hint")
            if name in ERRORS:
                yield from node.args[1:2]
        elif isinstance(node, ast.Assign):
            named = {getattr(target, "id", "") for target in node.targets} & NAMES
            yield from [node.value] * bool(named)


def found():
    for path in sorted(ROOT.glob("backend_server/*/**/*.py")):
        tree = ast.parse(path.read_text())
        yield from filter(None, map(template, literals(tree)))
        filled = (n for n in ast.walk(tree) if isinstance(n, ast.JoinedStr))
        parts = {id(part) for each in filled for part in each.values}
        whole = (n for n in ast.walk(tree) if id(n) not in parts)
        for text in filter(None, map(template, whole)):
            after = text.partition("; try: ")[2]
            if after and after != "{}":
                yield after


def test_each_is_known_and_none_is_gone():
    here = set(found())
    listed = {*PASTED, *NO_COMMAND}
    assert sorted(here - listed) == []
    assert sorted(listed - here) == []
    assert not PASTED.keys() & NO_COMMAND.keys()


@pytest.mark.parametrize("node", sorted(set(PASTED.values())))
def test_who_pastes_them_is_there(node):
    path, _, name = node.partition("::")
    text = (HOSTS / path).read_text()
    assert f"def {name}(" in text if name else "try: " in text


@pytest.mark.parametrize("text", sorted(PASTED))
def test_what_is_pasted_begins_with_a_program(text):
    assert re.match(r"(sudo (\./|backend|\{\})|[a-z][a-z-]+( |$))", text), text
