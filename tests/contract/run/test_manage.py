"""Which backend a manage.sh is for: the folder that it stands in says so, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.example import BACKENDS, ROOT


# Below /home, which is in memory here: root runs nothing that is below /tmp.
CHECKOUT = Path("/home/backend-server")
PARTS = ("backend_server", "etc", "packages", "scripts", "keys")
JUDGE = Path("/usr/local/lib/opensafely/entry.py")
SHOW = ("show", "--release", "noble", "--only", "identity")
NO_NAMES = [
    "Emis",
    "e mis",
    "--help",
    "é",
    "emis_2",
    "2emis",
    "a'b",
    'a"b',
    "a\\b",
    "a\n",
]


@pytest.fixture(params=["judged", "not judged"])
def folder(request):
    """A function: a backend's folder in a copy of this checkout, as somebody copied it from emis.

    The judge stands outside it, or there is none.
    """

    def make(name, says=None):
        if not CHECKOUT.exists():
            for part in (*PARTS, *BACKENDS):
                less = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / part, CHECKOUT / part, ignore=less)
            shutil.copy(ROOT / "developers", CHECKOUT)
        if name not in BACKENDS:
            shutil.copytree(ROOT / "emis", CHECKOUT / name)
        declared = CHECKOUT / name / "backend.py"
        text = declared.read_text()
        declared.write_text(text.replace('name="emis"', f"name={says or name!r}"))
        run("chmod", "-R", "go-w", str(CHECKOUT))
        if request.param == "judged":
            JUDGE.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / "backend_server/entry.py", JUDGE)
        return CHECKOUT / name

    return make


def run(*argv, cwd="/", **env):
    env = {**os.environ, **env}
    return subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True)


def shown(done):
    """The name of the backend that was shown."""
    assert done.returncode == 0, done.stderr
    _, _, rest = done.stdout.partition("File /etc/opensafely/backend\n      text | ")
    return rest.partition("\n")[0]


def test_a_copied_folder_is_a_backend_of_its_own(folder):
    """What it says is its own: of emis, whose files these were, nothing becomes of a host."""
    for name in ("made-up", "a", "north-east-2"):
        assert shown(run(f"{folder(name)}/manage.sh", *SHOW)) == name
    assert shown(run(f"{CHECKOUT}/emis/manage.sh", *SHOW)) == "emis"


TYPED = [
    (("./manage.sh",), ""),
    (("bash", "manage.sh"), ""),
    (("../made-up/manage.sh",), "../emis"),
    (("../../made-up/manage.sh",), "../scripts/x"),
    (("made-up/manage.sh",), ".."),
    (("bash", "made-up/manage.sh"), ".."),
    (("bash", "manage.sh"), "../by-another-name"),
    (("by-another-name/manage.sh",), ".."),
    (("/home/elsewhere/manage.sh",), ""),
]


def test_from_wherever_it_is_typed(folder):
    """A folder has one name, whatever links lead to it; and what is in the way leads nowhere."""
    here = folder("made-up")
    (CHECKOUT / "scripts/x").mkdir()
    (CHECKOUT / "by-another-name").symlink_to("made-up")
    Path("/home/elsewhere").symlink_to(here)
    for trap in ("emis/made-up", "emis/scripts", "scripts/made-up"):
        (CHECKOUT / trap).mkdir()
    for argv, cwd in TYPED:
        done = run(*argv, *SHOW, cwd=here / cwd, CDPATH=f"{CHECKOUT}/emis", OLDPWD="/")
        assert shown(done) == "made-up", argv


def test_links_to_the_file(folder):
    """In another backend's folder it is that backend's; outside, root runs nothing of what is there."""
    here = folder("made-up")
    (here / "manage.sh").unlink()
    (here / "manage.sh").symlink_to("../emis/manage.sh")
    assert shown(run(f"{here}/manage.sh", *SHOW)) == "made-up"
    Path("/home/bin").mkdir()
    Path("/home/bin/emis").symlink_to(CHECKOUT / "emis/manage.sh")
    done = run("/home/bin/emis", *SHOW, "--json")
    assert done.returncode == 2
    assert "no backend's folder" in done.stderr
    said(done)


def said(done):
    """It is refused in a sentence, for programs too."""
    assert done.returncode == 2, done.stdout
    found = json.loads(done.stdout)
    assert (found["format"], found["exit"]) == (1, 2)
    assert f"error: {found['error']}\n   try: {found['hint']}\n" == done.stderr


def test_what_is_no_name_is_refused(folder):
    asked = [SHOW, ("--help",), ("status",), ("people", "revoke", "ada", "--why", "x")]
    for number, name in enumerate(NO_NAMES):
        words = asked[number % len(asked)]
        done = run(f"{folder(name)}/manage.sh", *words, "--json")
        assert "is no name of a backend" in done.stderr, name
        said(done)


def test_a_name_that_is_not_the_folders_is_refused(folder):
    here = folder("made-up", says="emis")
    done = run(f"{here}/manage.sh", *SHOW)
    assert (done.returncode, done.stdout) == (2, "")
    assert "made-up/backend.py has name='emis'; wanted 'made-up'" in done.stderr
    mends = done.stderr.partition("   try: ")[2]
    assert run("sh", "-c", mends).returncode == 0
    assert shown(run(f"{here}/manage.sh", *SHOW)) == "made-up"


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_an_empty_backend_env_is_fine(folder, text):
    """Also where there is no Python yet: it goes on to apt, which has no archive here."""
    here = folder("made-up")
    (here / "backend.env").write_text(text)
    assert shown(run(f"{here}/manage.sh", *SHOW)) == "made-up"
    bare()
    done = run(f"{here}/manage.sh", "--yes")
    assert "unbound variable" not in done.stderr
    assert done.returncode == 1
    assert "python3 could not be installed" in done.stderr


def test_nothing_is_installed_for_what_is_no_name(folder):
    folders = list(map(folder, NO_NAMES))
    bare()
    for here in folders:
        done = run(f"{here}/manage.sh", "--yes", "--json", LC_ALL="C.UTF-8")
        assert "is no name of a backend" in done.stderr, here
        said(done)
    assert not Path("/var/lib/opensafely/installing-python").exists()


def bare():
    """As on a machine that has no Python yet, and no archive to get one from."""
    Path("/run/systemd/system").mkdir(parents=True)
    (CHECKOUT / "developers").write_text("ada\ngrace\n")
    for path in Path("/etc/apt").rglob("*.*"):
        if path.suffix in (".list", ".sources"):
            path.unlink()
    Path("/usr/bin/python3").unlink()
