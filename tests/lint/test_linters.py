"""Format, lint and types are tests like any other, on the oldest Python that is there."""

import subprocess
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]
CACHE = Path(sys.prefix).parent / "mypy"
MYPY = (sys.executable, "-m", "mypy", "--cache-dir", CACHE)
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
    passes(*MYPY)


def alone(backends):
    """All whose folders are packages to Python in one go; of the others, as north-east, each is `backend`."""
    yield [path for path in backends if path.parent.name.isidentifier()]
    yield from ([path] for path in backends if not path.parent.name.isidentifier())


def test_types_of_backends():
    for paths in alone(sorted(ROOT.glob("*/backend.py"))):
        passes(*MYPY, *(path.relative_to(ROOT) for path in paths))


def test_types_of_backends_that_are_no_packages(tmp_path):
    """As strict with those: a mistake in each of two is found."""
    for name in ("north-east", "north-west"):
        (tmp_path / name).mkdir()
        text = (ROOT / "emis/backend.py").read_text().replace('"emis"', f"{len(name)}")
        (tmp_path / name / "backend.py").write_text(text)
    for paths in filter(None, alone(sorted(tmp_path.glob("*/backend.py")))):
        with pytest.raises(pytest.fail.Exception, match='"name"'):
            passes(*MYPY, *paths)


@pytest.mark.parametrize("script", [*SCRIPTS, ".ci/run"])
def test_shell_syntax(script):
    passes("bash", "-n", script)
