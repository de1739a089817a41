"""Plan and apply agree: whatever is declared, and whatever is there."""

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import assume, given, target
from hypothesis import strategies as st

from backend_server.engine.engine import component, plan, walk, well_formed
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.resources import Directory, File, FileMode, NoFile
from backend_server.text.errors import Refused


NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(lambda names: "/" + "/".join(names))
TEXTS = st.sampled_from(["", "x", "x\n", "x\ny\n"])
MODES = st.sampled_from([0o600, 0o644, 0o755, 0o2750])
FOLDER_MODES = st.sampled_from([0o700, 0o755, 0o1777, 0o2750])
TARGETS = st.sampled_from(["a", "../b", "nowhere"])

RESOURCES = st.one_of(
    st.builds(File, PATHS, TEXTS, mode=MODES),
    st.builds(Directory, PATHS, mode=FOLDER_MODES),
    st.builds(NoFile, PATHS),
    st.builds(FileMode, PATHS, MODES),
)
# What is there at the start, by path: a file's text and mode, a link's target, or a folder.
THINGS = st.one_of(
    st.tuples(st.just("file"), TEXTS, MODES),
    st.tuples(st.just("folder"), st.just(""), FOLDER_MODES),
    st.tuples(st.just("link"), TARGETS, MODES),
)
TREES = st.dictionaries(PATHS, THINGS, max_size=6)


def grow(root, tree):
    (root / "etc").mkdir(parents=True)
    (root / "etc/passwd").write_text(f"root:x:{os.getuid()}:{os.getgid()}::/:/bin/sh\n")
    (root / "etc/group").write_text(f"root:x:{os.getgid()}:\n")
    for path, (kind, what, mode) in sorted(tree.items()):
        at = root / path[1:]
        if any(parent.is_symlink() or parent.is_file() for parent in at.parents):
            continue
        at.parent.mkdir(parents=True, exist_ok=True)
        if kind == "folder":
            at.mkdir(exist_ok=True)
            at.chmod(mode)
        elif kind == "link":
            os.symlink(what, at)
        else:
            at.write_text(what)
            at.chmod(mode)


def told(outcomes):
    return [
        (outcome.resource.label, change.field, change.after)
        for outcome in outcomes
        for change in outcome.changes
    ]


def picture(root):
    return {
        str(path.relative_to(root)): (
            path.lstat().st_mode,
            os.readlink(path) if path.is_symlink() else "",
            path.read_bytes() if path.is_file() and not path.is_symlink() else b"",
        )
        for path in root.rglob("*")
    }


@given(resources=st.lists(RESOURCES, min_size=1, max_size=5), tree=TREES)
def test_plan_and_apply_agree(resources, tree):
    declared = [component("made up", resources)]
    try:
        well_formed(declared)
    except Refused:
        assume(False)
    top = Path(tempfile.mkdtemp())
    root = top / "root"  # so that a link that leads out of it stays in `top`
    try:
        grow(root, tree)
        assume(not same_place_twice(root, resources))
        agree(root, declared)
    finally:
        shutil.rmtree(top)


def same_place_twice(root, resources):
    """Whether a link that is there makes two declared paths one: no check can see that."""
    places = [(root / resource.path[1:]).parent for resource in resources]
    return len(places) > 1 and any(
        os.path.realpath(place) != str(place) for place in places
    )


def real(root, resource):
    """Where a declared path is, below the root, past links that are root's own."""
    at = root / resource.path[1:]
    return os.path.relpath(Path(os.path.realpath(at.parent), at.name), root)


def agree(root, declared):
    before = picture(root)
    ours = {real(root, resource) for part in declared for resource in part.resources}
    planned = list(plan(declared, HostReader(root)))
    assert picture(root) == before, "a plan touches nothing"
    assume(not any(outcome.error for outcome in planned))  # then apply begins nothing

    walked = list(walk(declared, Host(root)))
    assert [str(outcome.error) for outcome in walked if outcome.error] == []
    assert told(walked) == told(planned)
    assert told(plan(declared, HostReader(root))) == [], "the second run rests"
    target(float(len(told(planned))))

    after = picture(root)
    strangers = {path for path in before if path not in ours}
    assert {p: after.get(p) for p in strangers} == {p: before[p] for p in strangers}
