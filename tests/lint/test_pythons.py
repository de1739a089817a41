"""scripts/test.sh on machines that have other Pythons: these are scripts that say what they are asked."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]
TOOLS = """bash cat chown cp cut dirname env flock grep head id mkdir realpath rm sed
sha256sum sleep sort tail timeout tr""".split()  # noqa: SIM905
PYTHON = """#!/bin/bash
case $* in
-V) echo "Python VERSION" ;;
*sys.implementation*) echo "VERSION HERE" ;;
*"-m venv"*) mkdir -p "${!#}/bin" && cp "$0" "${!#}/bin/python" ;;
*"-m pytest"*) shift 4; sleep 0.2; echo "VERSION runs $*"; exit "$(cat HERE.status 2>/dev/null || echo 0)" ;;
esac
"""
APT = '#!/bin/bash\necho "$*" >>"$0.called"\n'


@pytest.fixture
def machine(tmp_path):
    """A folder of programs that are all there is, and a checkout with the script."""
    (tmp_path / "bin").mkdir()
    for name in TOOLS:
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    place(tmp_path, "getent", "#!/bin/bash\necho root:x:0:0::$PLACE:/bin/bash\n")
    for name in ("apt-get", "dpkg-query"):
        place(tmp_path, name, APT)
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/test.sh", tmp_path / "scripts")
    for name in ("dev", "lint"):
        (tmp_path / f"requirements-{name}.txt").touch()
    (tmp_path / "tests/unit").mkdir(parents=True)
    (tmp_path / "tests/unit/test_a.py").touch()
    return tmp_path


def place(machine, name, text):
    path = machine / "bin" / name
    assert not path.exists(), "a link here leads to this machine's own program"
    path.write_text(text)
    path.chmod(0o755)
    return path


def pythons(machine, *versions):
    for version in versions:
        name = "python" + version.rpartition(".")[0]
        text = PYTHON.replace("VERSION", version)
        place(machine, name, text.replace("HERE", str(machine / "bin" / name)))


def run(machine, *words, **env):
    env = {"PATH": str(machine / "bin"), "PLACE": str(machine), **env}
    argv = [machine / "scripts/test.sh", *words]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    runs = [line for line in done.stdout.splitlines() if " runs " in line]
    return done, runs


def test_both_are_run_and_their_output_is_not_mixed(machine):
    pythons(machine, "3.7.1", "3.8.2", "3.11.2", "3.12.1")
    done, runs = run(machine, "quick", "-x")
    assert runs == [
        "3.8.2 runs tests/lint tests/unit -x",
        "3.12.1 runs tests/unit -x",
    ]
    assert done.stdout.splitlines()[-1] == runs[-1], "nothing was left out"
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("broken", ["3.8", "3.12"])
def test_any_failure_fails(machine, broken):
    pythons(machine, "3.8.2", "3.12.1")
    (machine / f"bin/python{broken}.status").write_text("1")
    done, runs = run(machine, "quick")
    assert (done.returncode, len(runs)) == (1, 2)


def test_without_3_8_the_last_line_says_what_was_left_out(machine):
    pythons(machine, "3.11.2")
    done, runs = run(machine, "quick")
    assert runs == ["3.11.2 runs tests/lint tests/unit"]
    last = done.stdout.splitlines()[-1]
    assert last.startswith("left out: Python 3.8, which is not here"), done.stderr
    place(machine, "uv", "#!/bin/bash\n")
    assert "(to have it: uv python install 3.8)" in run(machine, "quick")[0].stdout


def test_ci_insists_before_anything_is_done(machine):
    pythons(machine, "3.11.2")
    mine = machine / ".local/bin"
    mine.mkdir(parents=True)
    (mine / "uv").symlink_to(shutil.which("true"))
    done, runs = run(machine, CI="true")
    assert (done.returncode, runs) == (1, [])
    if os.geteuid() == 0:  # else it says first that it must be root
        assert f"try: {mine}/uv python install 3.8" in done.stderr
    assert not list((machine / "bin").glob("*.called"))
    assert not (machine / ".venv").exists()


def test_what_no_mypy_checks_is_left_out(machine):
    pythons(machine, "3.14.0")
    done, runs = run(machine, "quick")
    assert "--deselect=tests/lint/test_linters.py::test_types" in runs[0]
    assert "and types" in done.stdout.splitlines()[-1]


def test_a_path_is_given_what_it_needs(machine):
    pythons(machine, "3.8.2", "3.12.1")
    done, runs = run(machine, "tests/unit/test_a.py::test_b")
    assert runs[0].endswith("tests/unit/test_a.py::test_b"), done.stderr
    assert runs[0].startswith("3.12.1 runs")
    assert [path.name for path in (machine / ".venv").glob("*/*est")] == ["newest"]
    assert not list((machine / "bin").glob("*.called"))
