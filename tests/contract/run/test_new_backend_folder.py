"""scripts/new-backend.sh: a folder of its own, whole or not at all, and nobody's but its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from backend_server.run.place import load
from tests.unit.example import BACKENDS, ROOT


CHECKOUT = Path("/home/backend-server")
SCRIPT = CHECKOUT / "scripts/new-backend.sh"
# In place of the tests, which are this very run: what it was asked.
TESTS = '#!/bin/bash\necho "test.sh $*" >> /home/asked\n'
ASKED = Path("/home/asked")


def prepare():
    """A clean clone's files, of somebody who has people and images on every backend."""
    for name in ("backend_server", "scripts", *BACKENDS):
        shutil.copytree(ROOT / name, CHECKOUT / name)
    shutil.copy(ROOT / ".gitignore", CHECKOUT)
    (CHECKOUT / "scripts/test.sh").write_text(TESTS)
    (CHECKOUT / "README.md").write_text("a file\n")
    for name in BACKENDS:
        for path in (*CHECKOUT.glob(f"{name}/re*ers"), CHECKOUT / name / "images.lock"):
            path.write_text(f"{path.read_text()}ada # in it\nrita expires=2030-01-01\n")
    for words in (("init", "-q"), ("add", "-A")):
        subprocess.run(["git", *words], cwd=CHECKOUT, check=True)
    who = ("-c", "user.name=ada", "-c", "user.email=ada@localhost")
    subprocess.run(["git", *who, "commit", "-qm", "x"], cwd=CHECKOUT, check=True)


def new(*words, cwd="/"):
    return subprocess.run([SCRIPT, *words], cwd=cwd, capture_output=True, text=True)


def untracked():
    argv = ["git", "status", "--porcelain", "--untracked-files=all"]
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True)
    return done.stdout


@pytest.mark.parametrize("like", BACKENDS)
def test_a_folder_of_its_own(like):
    prepare()
    done = new("made-up-too", "--like", like)
    assert done.returncode == 0, done.stderr
    here, there = CHECKOUT / "made-up-too", CHECKOUT / like
    assert {x.name for x in here.iterdir()} == {x.name for x in there.iterdir()} - {
        "__pycache__"
    }
    for name in ("manage.sh", "hosts", "backend.env"):
        assert (here / name).read_bytes() == (there / name).read_bytes()
        assert (here / name).stat().st_mode == (there / name).stat().st_mode
    made, other = load("made-up-too", CHECKOUT), load(like, CHECKOUT)
    assert (made.name, made.title, made.follows) == ("made-up-too", "made-up-too", ())
    if made.airlock:
        assert made.airlock.name == "made-up-too.backends.opensafely.org"
    as_there = {"name": like, "title": other.title, "follows": other.follows}
    assert made._replace(airlock=other.airlock, **as_there) == other
    assert ASKED.read_text() == (
        "test.sh accept -q\ntest.sh tests/unit -q -k made-up-too\n"
    )


def test_nobody_and_no_image_comes_along():
    prepare()
    assert new("made-up-too", "--like", "emis").returncode == 0
    for name in ("researchers", "reviewers", "images.lock"):
        text = (CHECKOUT / "made-up-too" / name).read_text()
        assert text
        assert all(line.startswith("#") for line in text.splitlines()), name


def test_it_says_what_to_edit_and_where():
    prepare()
    done = new("--like", "tpp", "made-up", cwd=CHECKOUT / "tpp")
    assert "nobody is on its rosters" in done.stdout
    lines = (CHECKOUT / "made-up/backend.py").read_text().splitlines()
    said = [line.split() for line in done.stdout.splitlines() if line[:2] == "  "]
    assert [words[1] for words in said] == [
        *("title", "rosters", "provider_accounts", "database", "rdp_address")
    ]
    for place, field, *_ in said:
        path, _, number = place.partition(":")
        assert path == "made-up/backend.py"
        wanted = field in (CHECKOUT / path).read_text().replace("    #", "")
        assert bool(number) == wanted
        assert not number or lines[int(number) - 1].startswith(f"    {field}=")


REFUSED = [
    ((), "no name"),
    (("made-up",), "like none"),
    (("--like", "emis"), "no name"),
    (("made-up", "--like"), "--like wants one backend"),
    (("made-up", "--like", ""), "--like wants one backend"),
    (("made-up", "--like", "emis", "--like", "tpp"), "--like wants one backend"),
    (("made-up", "more", "--like", "emis"), "wanted one name"),
    (("made-up", "--like", "emis", "--yes"), "there is no option --yes"),
    (("--help",), "there is no option --help"),
    (("made-up", "--like", "nowhere"), "there is no backend nowhere"),
    (("made-up", "--like", "../emis"), "there is no backend"),
    (("made-up", "--like", "scripts"), "there is no backend scripts"),
    (("tpp", "--like", "emis"), "is there already"),
    (("emis", "--like", "emis"), "is there already"),
    (("scripts", "--like", "emis"), "is there already"),
    (("dangling", "--like", "emis"), "is there already"),
    *(
        ((name, "--like", "emis"), "is no name of a backend")
        for name in ("Nhsd", "é", "a b", "../x", "a/b", "1a", "a_b", "a\n", ".", "not")
    ),
]


def test_what_is_refused():
    """With a line to go on by, and without a trace."""
    prepare()
    (CHECKOUT / "dangling").symlink_to("nowhere")
    before = untracked()
    for words, why in REFUSED:
        done = new(*words)
        assert (done.returncode, done.stdout) == (2, ""), words
        assert done.stderr.startswith("error: "), words
        assert why in done.stderr, words
        assert "\n   try: " in done.stderr, words
    assert untracked() == before
    assert not list(CHECKOUT.glob(".new*"))
    assert not ASKED.exists()


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL]
)
def test_who_is_interrupted_leaves_nothing_half_made(number):
    """Stopped where a file is copied; and then the same again makes all of it."""
    prepare()
    hosts = CHECKOUT / "emis/hosts"
    text = hosts.read_bytes()
    hosts.unlink()
    os.mkfifo(hosts)  # whoever copies it waits for a writer
    process = subprocess.Popen(
        [SCRIPT, "made-up", "--like", "emis"], start_new_session=True
    )
    end = time.monotonic() + 60
    while not list(CHECKOUT.glob(".new*/manage.sh")):
        assert time.monotonic() < end
        time.sleep(0.01)
    os.killpg(process.pid, number)
    assert process.wait(60) != 0
    assert not (CHECKOUT / "made-up").exists()
    hosts.unlink()
    hosts.write_bytes(text)
    assert untracked() == ""
    assert bool(list(CHECKOUT.glob(".new*"))) == (number == signal.SIGKILL)
    assert new("made-up", "--like", "emis").returncode == 0
    assert load("made-up", CHECKOUT).name == "made-up"


def test_a_folder_that_comes_meanwhile_is_not_overwritten():
    prepare()
    script = SCRIPT.read_text()
    raced = script.replace("\nmv -nT ", '\nmkdir "$here/$name"; mv -nT ')
    assert raced != script
    SCRIPT.write_text(raced)
    done = new("made-up", "--like", "emis")
    assert done.returncode == 2
    assert "nothing is overwritten" in done.stderr
    assert list((CHECKOUT / "made-up").iterdir()) == []
    assert not list(CHECKOUT.glob(".new*"))
