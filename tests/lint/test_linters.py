"""Format, lint and types are tests like any other, on the oldest Python that is there."""

import subprocess
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]
MYPY_CACHE = Path(sys.prefix).parent / "mypy"
SCRIPTS = sorted(
    str(path.relative_to(ROOT))
    for path in ROOT.rglob("*.sh")
    if ".venv" not in path.parts
)


def passes(*argv):
    done = subprocess.run(
        argv,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"{' '.join(map(str, argv))}\n{done.stdout}", pytrace=False)


def test_format():
    passes(sys.executable, "-m", "ruff", "format", "--no-cache", "--diff", ".")


def test_lint():
    passes(sys.executable, "-m", "ruff", "check", "--no-cache", ".")


def test_types():
    passes(sys.executable, "-m", "mypy", "--cache-dir", MYPY_CACHE)


@pytest.mark.parametrize("script", [*SCRIPTS, ".ci/run"])
def test_shell_syntax(script):
    passes("bash", "-n", script)
