"""What Airlock is shown: outputs as jobs made them, and beside them what reviewers made of them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time

import pytest

from backend_server.review import laying, shelf, verdicts
from backend_server.text.errors import Refused
from tests.contract.review.laid import (
    CSV,
    GUS,
    HAL,
    HIGH,
    MARKED,
    MEDIUM,
    REVIEW,
    TABLE,
    close,
    declare,
    edit,
    entries,
    entry,
    job,
    later,
    lay,
    notes,
    prepare,
    shown,
    write,
)


pytestmark = pytest.mark.share("Airlock")

EDITED = f"redacted/{CSV}"
HERE = MEDIUM / "trial" / CSV


@pytest.fixture(autouse=True)
def trees(place, monkeypatch):
    # The wait is looked at where it matters: in test_kills.py.
    monkeypatch.setattr(shelf, "GRACE_S", 0)


def begin(data=TABLE, **options):
    prepare(**options)
    job("trial", {CSV: data})
    lay()


def test_outputs_are_there_as_the_job_made_them_and_nothing_else_is():
    prepare()
    job("trial", {CSV: TABLE, "people.csv": b"x"}, {"people.csv": "highly_sensitive"})
    write(MEDIUM / "trial/by-hand.csv", b"mine", GUS)
    assert lay() == [f"trial: {CSV!a} is shown"]
    assert shown() == {CSV: TABLE}
    files = {str(p.relative_to(REVIEW)) for p in REVIEW.rglob("*") if p.is_file()}
    own = ("manifest.json", "describe.log", "redactions.txt")
    assert files == {f"trial/{CSV}", *(f"trial/metadata/{name}" for name in own)}
    assert entries()[CSV] == {**entry(TABLE), "out_of_date_action": None}
    assert lay() == []


def test_an_edit_stands_beside_its_original():
    begin()
    edit(HERE, MARKED)
    assert lay() == [f"trial: {EDITED!a} is shown"]
    assert shown() == {CSV: TABLE, EDITED: MARKED}
    found = entries()[EDITED]
    assert found["redacted_from"] == CSV
    assert found["file_of"] == "gus"
    assert found["redacted_from_hash"] == entries()[CSV]["content_hash"]
    assert (found["job_id"], found["repo"], found["commit"]) == (
        *("job1", "https://github.com/opensafely/trial", "c0ffee"),
    )
    when = found["redacted_at"]
    assert f"{EDITED}: a change, in a file of gus's, taken in at {when}" in notes()
    assert lay() == []


def test_what_an_edit_leaves_or_makes_is_pointed_out_and_judged_by_nobody():
    """It is taken in all the same; a developer is told of every table."""
    begin(b"sex,n\nF,4\nM,25\n")
    edit(HERE, b"sex,n\nF,[REDACTED]\nM,26\n")
    assert lay() == [f"trial: {EDITED!a} is shown"]
    said = [
        "row 3, column 'n': another number, which is no mark and no rounding",
        "column 'n': counts that are rounded neither to 5 nor to midpoint 6",
    ]
    assert "".join(f"    {each}\n" for each in said) in notes()
    found = laying.pointed("trial")
    assert found[EDITED] == said
    small = "row 2, column 'n': a count of 1 to 7, which is redacted"
    assert (found[CSV][0], len(found[CSV])) == (small, 2)
    assert (lay(), lay()) == ([], [])
    for nowhere in ("other", "../trial", "", "trial/metadata"):
        with pytest.raises(Refused, match="is shown no output"):
            laying.pointed(nowhere)


def test_who_saves_in_place_is_not_guessed():
    begin()
    HERE.write_bytes(MARKED)  # the inode stays, and so does its owner
    later()
    lay()
    assert entries()[EDITED]["file_of"] is None
    assert f"{EDITED}: a change, taken in at" in notes()


def test_what_was_saved_just_now_waits():
    begin()
    edit(HERE, MARKED, settled=False)
    assert lay() == [f"trial: {CSV!a} is being edited, and waits for 5 s of rest"]
    assert lay() == []
    assert shown() == {CSV: TABLE}
    assert "is being edited" in notes()
    later()
    lay()
    assert "is being edited" not in notes()
    assert shown() == {CSV: TABLE, EDITED: MARKED}


def test_a_further_edit_replaces_it_and_taking_back_removes_it():
    begin()
    edit(HERE, MARKED)
    lay()
    edit(HERE, b"sex,n\nF,[REDACTED]\nM,[REDACTED]\n", HAL)
    lay()
    assert shown()[EDITED].count(b"[REDACTED]") == 2
    assert entries()[EDITED]["file_of"] == "hal"
    edit(HERE, TABLE)
    assert lay() == [f"trial: {EDITED!a} is shown no longer"]
    assert shown() == {CSV: TABLE}


def test_other_bytes_of_a_later_run_end_the_redaction_and_that_is_told():
    begin()
    edit(HERE, MARKED)
    lay()
    job("trial", {CSV: TABLE + b"X,5000\n"}, name="job2")
    said = "\n".join(lay())
    assert shown() == {CSV: TABLE + b"X,5000\n"}
    assert f"{EDITED!a} is out of date" in said
    assert lay() == []
    assert "is out of date" in notes()


def test_the_same_bytes_of_a_later_run_leave_it():
    begin()
    edit(HERE, MARKED)
    lay()
    job("trial", {CSV: TABLE}, name="job2")
    lay()
    assert shown() == {CSV: TABLE, EDITED: MARKED}
    assert entries()[CSV]["job_id"] == "job2"
    assert lay() == []
    edit(HERE, TABLE, HAL)  # and it can still be taken back
    lay()
    assert shown() == {CSV: TABLE}


def test_between_a_jobs_file_and_its_manifest_nothing_changes(monkeypatch):
    begin()
    edit(HERE, MARKED)
    lay()
    new = job("trial", {CSV: b"sex,n\nF,4000\n"}, name="job2", manifest=False)
    assert lay() == []
    assert shown() == {CSV: TABLE, EDITED: MARKED}
    declare("trial", new)
    lay()
    assert shown() == {CSV: b"sex,n\nF,4000\n"}
    edit(HERE, MARKED)
    lay()
    # The same bytes again: for the moment it looks as if gus had taken his edit back.
    monkeypatch.setattr(verdicts, "SETTLED_S", 5)
    again = job("trial", {CSV: b"sex,n\nF,4000\n"}, name="job3", manifest=False)
    lay()
    assert EDITED in shown()
    declare("trial", again)
    lay()
    assert EDITED in shown()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is empty"),
        (b"patient_id,n\n1,2\n", "has a column patient_id"),
        (b"n\n" + b"1\n" * 5001, "has more than 5000 rows"),
        (b"\xff\xfe\x00", "cannot be read as a table"),
        (bytes(16 << 20) + b"x", "is larger than 16 MiB"),
    ],
)
def test_what_the_agent_would_hold_back_is_not_taken_and_that_is_told(data, why):
    begin()
    edit(HERE, MARKED)
    lay()
    edit(HERE, data)
    assert f"was edited, and the edit {why}" in "\n".join(lay())
    assert shown() == {CSV: TABLE}
    assert why in notes()
    assert lay() == []
    assert why in notes()


def test_the_way_back_keeps_the_edit():
    begin()
    assert laying.restored("trial", CSV) == ""
    for data in (MARKED, b"sex,n\n"):
        edit(HERE, data)
        kept = laying.restored("trial", CSV)
        assert kept.startswith("output/table.edited-")
        assert (MEDIUM / "trial" / kept).read_bytes() == data
        assert HERE.read_bytes() == TABLE
    lay()
    assert shown() == {CSV: TABLE}
    assert len([*HERE.parent.iterdir()]) == 3
    HERE.unlink()
    assert laying.restored("trial", CSV) == ""
    assert HERE.read_bytes() == TABLE
    for workspace, path in (
        *(("trial", "no.csv"), ("trial", EDITED)),
        *(("../workspaces/trial", CSV), ("trial/..", CSV)),
    ):
        with pytest.raises(Refused, match="is no output that a job made"):
            laying.restored(workspace, path)


def test_what_cannot_be_read_is_kept_aside_too():
    begin()
    edit(HERE, MARKED)
    with leased(HERE):
        kept = laying.restored("trial", CSV)
    assert (MEDIUM / "trial" / kept).read_bytes() == MARKED
    assert HERE.read_bytes() == TABLE


# ---- what nobody can do


@contextlib.contextmanager
def leased(path):
    """A program has a lease on it: for 45 s nobody else opens it who would wait for that."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    with open(path, "r+b") as file:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield
    signal.signal(signal.SIGIO, before)


@contextlib.contextmanager
def at_once():
    """Nothing that is done meanwhile waits for anybody."""
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it waits"))
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def test_no_lock_of_a_readers_and_no_lease_holds_up_a_pass():
    begin()
    edit(HERE, MARKED)
    for folder in (REVIEW, REVIEW / "trial", MEDIUM, MEDIUM / "trial"):
        fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_SH)
    with leased(HERE), at_once():
        assert "cannot be read" in "\n".join(lay())
        assert shown() == {CSV: TABLE}
    lay()
    assert shown() == {CSV: TABLE, EDITED: MARKED}
    with leased(MEDIUM / "trial/metadata/manifest.json"), at_once():
        assert "what Airlock shows of it stays as it is" in "\n".join(lay())


def test_whatever_number_fails_is_told_once_and_not_at_length():
    begin()
    for number in range(60):
        (MEDIUM / f"file{number}").touch()
        declare_own(f"own{number}")
    declare("trial", {f"none{number}.csv": entry(b"x") for number in range(2000)})
    said = lay()
    assert len(said) == 50 + 1 + 50 + 1
    assert "and 10 more" in said
    assert "and 1,950 more" in said
    assert "and 1,000 more\n" in notes()
    assert lay() == []
    declare_own("n" * 255)
    assert lay() == []


def declare_own(workspace):
    (MEDIUM / workspace / "metadata").mkdir(parents=True)
    (HIGH / workspace).mkdir()
    declare(workspace, {}, GUS)


def test_what_is_highly_sensitive_is_in_no_way_shown():
    """High privacy is read by whoever fills the tree: its bytes come from there only by a manifest
    that no reviewer can have written, or where they have lain in medium privacy already."""
    prepare()
    secret = b"patient,n\n1,1\n"
    job("trial", {CSV: TABLE, "people.csv": secret}, {"people.csv": "highly_sensitive"})
    lay()
    # gus edits the agent's manifest in place before it was closed, and lays something there.
    path = MEDIUM / "trial/metadata/manifest.json"
    said = json.loads(path.read_text())
    said["outputs"]["people.csv"]["level"] = "moderately_sensitive"
    path.write_text(json.dumps(said))
    write(MEDIUM / "trial/people.csv", b"anything", GUS)
    later()
    for _ in range(2):
        close("trial")
        assert "people.csv" not in "".join(p.name for p in REVIEW.rglob("*"))
        lay()
    assert shown() == {CSV: TABLE}
    assert "'people.csv' was edited before it was shown" in notes()


def test_a_manifest_of_somebodys_own_changes_nothing():
    begin()
    declare("trial", {"output/forged.csv": entry(b"forged")}, GUS)
    write(MEDIUM / "trial/output/forged.csv", b"forged", GUS)
    assert lay() == [
        "trial: is, or has a manifest or metadata, of somebody's own; "
        "what Airlock shows of it stays as it is"
    ]
    assert shown() == {CSV: TABLE}


def test_a_folder_of_metadata_of_somebodys_own_changes_nothing():
    begin()
    os.rename(MEDIUM / "trial/metadata", MEDIUM / "trial/away")
    (MEDIUM / "trial/metadata").mkdir()
    os.chown(MEDIUM / "trial/metadata", GUS, GUS)
    declare("trial", {"x.csv": entry(b"x")})
    assert "of somebody's own" in lay()[0]
    assert shown() == {CSV: TABLE}


def test_what_no_job_made_is_not_shown_as_a_jobs():
    """Not even by a manifest that counts."""
    begin()
    write(MEDIUM / "trial/output/forged.csv", b"forged", GUS)
    declare("trial", {"output/forged.csv": entry(b"forged")})
    said = (
        "trial: 'output/forged.csv' is not shown: no job made it, or its edit goes on"
    )
    assert lay() == [said]
    # Whether high privacy has a file of that name nobody learns by that.
    write(HIGH / "trial/output/forged.csv", b"another")
    assert lay() == []
    assert shown() == {CSV: TABLE}


def test_a_workspace_under_anothers_name_changes_nothing_of_that_one():
    begin()
    job("other", {"secret.csv": b"other"})
    lay()
    os.rename(MEDIUM / "trial", MEDIUM / "away")
    os.rename(MEDIUM / "other", MEDIUM / "trial")
    assert "trial: has the manifest of 'other'" in "\n".join(lay())
    assert shown() == {CSV: TABLE}
    assert shown("other") == {"secret.csv": b"other"}


def test_a_file_where_redactions_go_is_no_redaction():
    begin()
    write(MEDIUM / "trial" / EDITED, b"mine", GUS)
    declare("trial", {EDITED: entry(b"mine")})
    assert f"{EDITED!a} is below redacted/" in "\n".join(lay())
    assert shown() == {CSV: TABLE}


def test_what_takes_long_to_read_holds_up_nobody_else(monkeypatch):
    """Of one workspace all is changed at once: the rest of it comes with the next passes."""
    prepare()
    many = {f"output/t{n}.csv": TABLE for n in range(20)}
    job("a", many)
    job("b", {CSV: TABLE})
    monkeypatch.setattr(laying, "LOOK_S", -1)
    said = lay()
    assert (
        said.count(
            "b: 'output/table.csv' waits for the next pass: much has changed here"
        )
        == 1
    )
    assert shown("a") == {}
    monkeypatch.setattr(laying, "LOOK_S", 20)
    lay()
    assert shown("a") == many
    for path in many:
        edit(MEDIUM / "a" / path, MARKED)
    monkeypatch.setattr(laying, "LOOK_S", -1)
    lay()
    assert shown("a") == many, "what is shown stays meanwhile"
    monkeypatch.setattr(laying, "LOOK_S", 20)
    lay()
    assert shown("a") == {**many, **{f"redacted/{path}": MARKED for path in many}}


def test_a_workspace_whose_edits_take_all_the_time_goes_on(monkeypatch):
    """What is refused is not judged anew, and what is shown comes however long that took."""
    prepare()
    many = {f"output/t{n}.csv": TABLE for n in range(9)}
    job("a", many)
    lay()
    for path in many:
        edit(MEDIUM / "a" / path, b"sex,n\n" + b"F,[REDACTED]\n" * 5001)
    judged = []
    refusal = verdicts.refusal

    def slowly(path, data):
        judged.append(path)
        passed = time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: passed() + 9)
        return refusal(path, data)

    monkeypatch.setattr(verdicts, "refusal", slowly)
    for _ in range(4):
        lay()
    assert sorted(judged) == sorted(many), "each once"
    job("a", {**many, "output/new.csv": TABLE})
    lay()
    assert "output/new.csv" in shown("a")


@pytest.mark.parametrize("folder", ["", "metadata"])
def test_a_workspace_of_a_reviewers_own_is_not_shown(folder):
    prepare()
    job("trial", {CSV: TABLE})
    os.chown(MEDIUM / "trial" / folder, GUS, GUS)
    assert "is, or has a manifest or metadata, of somebody's own" in lay()[0]
    assert not (REVIEW / "trial").exists()


def test_a_manifest_that_grows_too_large_with_ours_changes_nothing():
    begin()
    edit(HERE, MARKED)
    lay()
    before = entries()
    said = {"outputs": {CSV: {**entry(TABLE), "message": "é" * 6_000_000}}}
    large = json.dumps(said, ensure_ascii=False).encode()
    write(MEDIUM / "trial/metadata/manifest.json", large)
    assert "has a manifest that is too large" in "\n".join(lay())
    assert entries() == before
    small = json.dumps({"outputs": {CSV: entry(TABLE)}}).encode()
    write(MEDIUM / "trial/metadata/manifest.json", small)
    assert lay() == []
    assert entries() == before


@pytest.mark.parametrize(
    "data",
    [
        b"patient_id,age\n1,30\n",
        b"PATIENT_ID,name\n17,Jos\xe9\n",
        b"\xef\xbb\xbfname, Patient_Id \nJos\xe9,17\n",
        b"patient_id,text\n1," + b"x" * 140_000,
    ],
)
def test_what_the_agent_holds_back_is_not_shown_as_a_jobs_by_a_manifest_that_says_so(
    data,
):
    prepare()
    job("trial", {CSV: data})
    said = "is not shown: no job made it, or its edit goes on"
    assert lay() == [f"trial: {CSV!a} {said}"]
    assert shown() == {}
