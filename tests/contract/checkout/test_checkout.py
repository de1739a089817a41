"""Root runs only what root alone can change, and says who else could."""

import grp
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backend_server import entry
from backend_server.host.reader import HostReader


ENTRY = Path(entry.__file__)
NOTHING = ["", ""]
REPOSITORY = Path("/home/repositories/backend-server.git")


@pytest.fixture
def checkout():
    """A function: a clone below /home, which is in memory here. /tmp is no place for one."""

    def make():
        top = Path("/home/srv/checkout")
        for folder in (".git/objects/pack", "backend_server/host", "etc"):
            (top / folder).mkdir(parents=True)
        for path in (".git/config", ".git/objects/pack/p.pack", "etc/x", "developers"):
            (top / path).touch()
        (top / "backend_server/entry.py").write_text(ENTRY.read_text())
        return top

    return make


def judged(top):
    """What is wrong, and the hint."""
    wrong, _, hint = entry.judged(top).partition("\n   try: ")
    return [wrong, hint]


def blamed(top):
    return judged(str(top))[0].partition(" ")[0].rstrip(",")


def test_a_checkout_of_roots(checkout):
    assert judged(str(checkout())) == NOTHING


@pytest.mark.parametrize("mode", [0o020, 0o002, 0o1002], ids=["group", "all", "sticky"])
@pytest.mark.parametrize(
    "path",
    [
        *(".", "..", "etc", "etc/x", ".git", ".git/config", "backend_server/host"),
        *(".git/objects", ".git/objects/pack", ".git/objects/pack/p.pack"),
    ],
)
def test_what_others_can_write(checkout, path, mode):
    top = checkout()
    found = (top / path).resolve()
    found.chmod(0o755 | mode)
    assert blamed(top) == str(found)


@pytest.mark.parametrize(
    "path", [".", "..", "etc/x", "backend_server", ".git/objects/pack/p.pack"]
)
def test_what_others_own(checkout, path):
    top = checkout()
    found = (top / path).resolve()
    os.chown(found, 1234, 0)
    assert blamed(top) == str(found)


def test_what_somebody_has_open_to_write_is_nobodys_after_the_hint(checkout):
    """Whose a file is says nothing of who has it open, or by another name."""
    top = checkout()
    script = top / "etc/x"
    script.chmod(0o755)
    os.link(script, "/home/theirs")
    os.chown(script, 1234, 0)
    subprocess.run(["setfacl", "-d", "-m", "user:1234:rwx", top / "etc"], check=True)
    with open(script, "w") as held, open("/home/theirs", "w") as other:
        _, hint = judged(str(top))
        subprocess.run(["bash", "-c", hint], check=True)
        held.write("theirs\n")
        other.write("theirs\n")
    assert judged(str(top)) == NOTHING
    assert (script.read_text(), script.stat().st_mode & 0o777) == ("", 0o755)


@pytest.mark.parametrize(
    "name", [b"\x1b[2J", b"a\nerror: x", b"\xff", "\u202e".encode()]
)
def test_a_name_of_theirs_is_no_word_to_a_terminal(checkout, name, monkeypatch):
    """It is shown to whoever runs this, and to developers who log in."""
    top = os.fsencode(checkout())
    os.close(os.open(top + b"/etc/" + name, os.O_CREAT, 0o666))
    os.chown(top + b"/etc/" + name, 1234, 0)
    wrong = entry.judged(os.fsdecode(top))
    first, hint = wrong.split("\n")
    assert first.isprintable()
    assert first.isascii()
    assert " can be changed by somebody other than root" in first
    assert hint.startswith("   try: (umask 022 && cp -RT ")
    monkeypatch.setattr(entry, "NOTICES", "/home/notices")
    monkeypatch.setattr("grp.getgrnam", lambda _: grp.getgrgid(0))
    Path("/home/notices").write_bytes(b"\xff\n")
    entry.tell_developers(first)
    assert Path("/home/notices").read_bytes().endswith(f": {first}\n".encode())


@pytest.mark.parametrize("acl", ["user:1234:rwx", "group:1234:rwx", "other::rwx"])
@pytest.mark.parametrize("path", [".", "etc", ".git/objects"])
def test_what_git_would_write_for_others(checkout, path, acl):
    """A default ACL changes no mode: what is written there later has it."""
    top = checkout()
    subprocess.run(["setfacl", "-d", "-m", acl, top / path], check=True)
    assert blamed(top) == str((top / path).resolve())
    subprocess.run(["setfacl", "-R", "-k", top], check=True)
    assert judged(str(top)) == NOTHING


def test_an_acl_of_a_file(checkout):
    top = checkout()
    subprocess.run(["setfacl", "-m", "user:1234:rw", top / "etc/x"], check=True)
    assert blamed(top) == str(top / "etc/x")


def test_links_lead_nowhere_else(checkout, place):
    top = checkout()
    theirs = place / "theirs"
    theirs.mkdir()
    os.chown(theirs, 1234, 1234)
    os.symlink(theirs, top / "backend_server/components")
    assert blamed(top) == str(top / "backend_server/components")


def test_links_inside_are_fine(checkout):
    top = checkout()
    os.symlink("x", top / "etc/y")
    assert judged(str(top)) == NOTHING


def test_what_git_takes_away_meanwhile_is_no_obstacle(checkout):
    top = checkout()
    churn = 'while :; do mkdir -p "$1/ab"; : >"$1/ab/lock"; rm -r "$1/ab"; done'
    argv = ["bash", "-c", churn, "bash", top / ".git/objects"]
    git = subprocess.Popen(argv)
    try:
        assert [judged(str(top)) for _ in range(500)] == [NOTHING] * 500
    finally:
        git.kill()
        git.wait()


def test_the_virtual_environments_of_test_sh_are_no_obstacle(checkout):
    top = checkout()
    (top / ".venv/root/newest/bin").mkdir(parents=True)
    os.symlink(sys.executable, top / ".venv/root/newest/bin/python")
    assert judged(str(top)) == NOTHING


def test_what_nobody_judges_is_not_led_to(checkout):
    top = checkout()
    (top / ".venv").mkdir()
    (top / ".venv/main.py").touch()
    (top / "backend_server/main.py").symlink_to("../.venv/main.py")
    assert blamed(top) == f"{top}/backend_server/main.py"


def test_tmp_is_no_place_for_a_checkout(checkout, place):
    """It is emptied now and then, and then anybody can make the path anew."""
    place.chmod(0o755)
    top = shutil.move(str(checkout()), place)
    wrong, hint = judged(str(top))
    assert wrong.startswith(f"/tmp, above {top}, can be changed by somebody")
    assert hint.startswith(f"mv {top} /srv/")


def as_worktree(top):
    """TOP is a worktree of a repository elsewhere, whose .git it was."""
    REPOSITORY.parent.mkdir()
    (top / ".git").rename(REPOSITORY)
    own = REPOSITORY / "worktrees/checkout"
    own.mkdir(parents=True)
    (own / "commondir").write_text("../..\n")
    (top / ".git").write_text(f"gitdir: {own}\n")


def test_a_worktree_is_judged_with_its_repository(checkout):
    top = checkout()
    as_worktree(top)
    assert judged(str(top)) == NOTHING
    os.chown(REPOSITORY / "objects/pack/p.pack", 1234, 0)
    assert blamed(top) == f"{REPOSITORY}/objects/pack/p.pack"
    os.chown(REPOSITORY / "objects/pack/p.pack", 0, 0)
    REPOSITORY.parent.chmod(0o777)
    assert blamed(top) == str(REPOSITORY.parent)


def git(*words):
    subprocess.run(
        ("git", "-c", "safe.directory=*", *words), check=True, capture_output=True
    )


def commit(folder):
    git("init", "-q", folder)
    identity = ("-c", "user.name=ada", "-c", "user.email=ada@example.org")
    git("-C", folder, *identity, "commit", "-q", "--allow-empty", "-m", "first")


def test_a_clone_that_shares_the_files_of_another(place):
    """`git clone` from a path links them: who has that repository can exchange what they say."""
    theirs, ours = "/home/ada/checkout", "/home/srv/checkout"
    commit(theirs)
    git("clone", "-q", theirs, ours)
    for path in Path(theirs).rglob("*"):
        os.chown(path, 1234, 1234)
    wrong, hint = judged(ours)
    assert wrong.startswith(f"{ours}/.git/objects/")
    subprocess.run(hint, shell=True, check=True, capture_output=True)
    assert judged(ours) == NOTHING


def test_a_clone_that_borrows_from_another(place):
    theirs, ours = "/home/ada/checkout", "/home/srv/checkout"
    commit(theirs)
    git("clone", "-q", "--shared", theirs, ours)
    wrong, hint = judged(ours)
    assert wrong.startswith(f"{ours}/.git takes objects from {theirs}/.git/objects")
    subprocess.run(hint, shell=True, check=True, capture_output=True)
    assert judged(ours) == NOTHING
    git("-C", ours, "fsck", "--strict")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[include]\n\tpath = /home/ada/gitconfig\n", "[include"),
        ('[IncludeIf "gitdir:/"]\n\tpath = /home/ada/gitconfig\n', "[include"),
        ('[filter "x"]\n\tclean = /home/ada/evil\n', "[filter"),
        ("[core]\n\tworkTree = /home/ada/tree\n", "worktree"),
        ("[core] attributesFile=/home/ada/attributes\n", "attributesfile"),
    ],
)
def test_settings_of_git_that_lead_elsewhere(checkout, text, word):
    top = checkout()
    (top / ".git/config").write_text(text)
    wrong, hint = judged(str(top))
    assert wrong.startswith(f"{top}/.git/config has {word}, by which git goes to")
    assert hint == f"take that out of {top}/.git/config"


def test_settings_of_git_that_lead_nowhere(checkout):
    top = checkout()
    text = "[core]\n\tbare = false\n[extensions]\n\tworktreeConfig = true\n"
    (top / ".git/config").write_text(text)
    assert judged(str(top)) == NOTHING


SETTINGS = """\
[core]
\tattributesFile = /home/ada/attributes
[filter "x"]
\tclean = touch /home/ada/was-root; cat
"""


@pytest.mark.parametrize("path", ["/etc/gitconfig", "/root/.gitconfig"])
def test_git_runs_no_program_that_settings_of_others_name(place, path):
    ours = "/home/srv/checkout"
    commit(ours)
    Path(ours, "file").write_text("one\n")
    identity = ("-c", "user.name=ada", "-c", "user.email=ada@example.org")
    git("-C", ours, "add", "file")
    git("-C", ours, *identity, "commit", "-q", "-m", "second")
    Path("/home/ada").mkdir(exist_ok=True)
    Path("/home/ada/attributes").write_text("* filter=x\n")
    Path(path).write_text(SETTINGS)
    subprocess.run(["touch", "-d", "tomorrow", f"{ours}/file"], check=True)
    assert HostReader().git_status(ours)
    assert not Path("/home/ada/was-root").exists()
    # Without that the program runs, and the test could fail.
    git("-C", ours, "status")
    assert Path("/home/ada/was-root").exists()
    Path(path).unlink()


def run(top, judge):
    argv = [sys.executable, "-I", "-S", judge, top, "test"]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("outside", [False, True], ids=["its own", "outside"])
def test_nothing_of_such_a_checkout_is_imported(checkout, place, outside):
    top = checkout()
    judge = place / "entry.py" if outside else top / "backend_server/entry.py"
    judge.write_text(ENTRY.read_text())
    (top / "backend_server/cli").mkdir()
    (top / "backend_server/cli/main.py").write_text("print('imported')\n")
    assert "imported" in run(top, judge).stdout
    (top / "backend_server/cli/main.py").chmod(0o666)
    done = run(top, judge)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"error: {top}/backend_server/cli/main.py can be changed by" in done.stderr
    assert "try: (umask 022 && cp -RT " in done.stderr


def test_developers_read_it_once_at_their_next_login(checkout):
    top = checkout()
    notices = Path("/var/lib/opensafely/notices")
    notices.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["groupadd", "--gid", "4321", "developers"], check=True)
    (top / "etc/x").chmod(0o666)
    os.umask(0o077)  # as in a unit
    for _ in range(2):
        run(top, top / "backend_server/entry.py")
    (told,) = notices.read_text().splitlines()
    assert f"Z refused to run: {top}/etc/x can be changed by" in told
    assert (notices.stat().st_gid, notices.stat().st_mode & 0o777) == (4321, 0o640)
