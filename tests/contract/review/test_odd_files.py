"""What reviewers and jobs may put where an output was: nothing of it is taken, and the original stays."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from backend_server.review import shelf
from tests.contract.review.laid import (
    CSV,
    HIGH,
    MEDIUM,
    REVIEW,
    TABLE,
    edit,
    job,
    later,
    lay,
    notes,
    prepare,
    shown,
)


pytestmark = pytest.mark.share("Airlock")

HERE = MEDIUM / "trial" / CSV


def linked():
    HERE.symlink_to("/etc/passwd")


def hard_linked():
    (MEDIUM / "trial/mine").write_bytes(b"n\n10\n")
    os.link(MEDIUM / "trial/mine", HERE)


def sparse():
    HERE.touch()
    os.truncate(HERE, 1 << 40)


def folder():
    HERE.mkdir()


def below_a_link():
    shutil.rmtree(HERE.parent)
    HERE.parent.symlink_to("/etc")


@pytest.mark.parametrize(
    ("put", "why"),
    [
        (linked, "is no plain file"),
        (lambda: os.mkfifo(HERE), "is no plain file"),
        (hard_linked, "is a hard link"),
        (sparse, "is larger than 16 MiB"),
        (folder, "is no plain file"),
        (below_a_link, "is gone from the workspace"),
        (lambda: None, "is gone from the workspace"),
    ],
)
def test_odd_files_are_left_and_told(put, why, monkeypatch):
    monkeypatch.setattr(shelf, "GRACE_S", 0)
    prepare()
    job("trial", {CSV: TABLE})
    lay()
    HERE.unlink()
    put()
    later()
    assert why in "\n".join(lay())
    assert shown() == {CSV: TABLE}
    assert why in notes()


def test_names_are_shown_where_they_can_be_released_and_else_told(monkeypatch):
    monkeypatch.setattr(shelf, "GRACE_S", 0)
    prepare()
    good = ["é" * 125 + "o.csv", "with space.csv", "Größe.csv", "n" * 251 + ".csv"]
    bad = ["数据.csv", 'a"b.csv', "a\\b.csv", "a\nb.csv", "b\udcff.csv", ".dot.csv"]
    job("trial", dict.fromkeys([*good, *bad], TABLE))
    lay()
    for name in good:
        edit(MEDIUM / "trial" / name, b"sex,n\nF,3120\nM,[REDACTED]\n")
    lay()
    assert set(shown()) == {*good, *(f"redacted/{name}" for name in good)}
    assert f"{bad[0]!a} has a name with characters that cannot be released" in notes()


def test_a_workspace_that_is_gone_is_still_asked_for(monkeypatch):
    """Requests of it need its manifest."""
    monkeypatch.setattr(shelf, "GRACE_S", 0)
    prepare()
    job("trial", {CSV: TABLE})
    lay()
    shutil.rmtree(MEDIUM / "trial")
    assert "is in one of both trees only" in "\n".join(lay())
    assert shown() == {CSV: TABLE}
    shutil.rmtree(HIGH / "trial")
    lay()
    assert shown() == {}
    assert not (REVIEW / "trial" / CSV).exists()


def read_until_now():
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["rchar"])


def test_ten_thousand_outputs_are_not_read_again():
    prepare()
    large = b"n\n" + b"5\n" * 4000
    job("trial", {f"output/{n}.csv": large for n in range(10_000)})
    while lay():  # a slow machine does not bring them all in one pass
        pass
    manifests = sum(p.stat().st_size for p in Path("/srv").rglob("manifest.json"))
    state = sum(p.stat().st_size for p in Path("/var/lib/opensafely/review").iterdir())
    before, sign = read_until_now(), (REVIEW / "trial/metadata/manifest.json").stat()
    assert lay() == []
    assert read_until_now() - before < manifests + state + 100_000
    assert (REVIEW / "trial/metadata/manifest.json").stat().st_ino == sign.st_ino
