"""What is read of Airlock's database, and its copies: while it is written to, of tables as the real one has."""

import os

import pytest

from backend_server.airlock.requests import Request, requests
from backend_server.services import backup
from backend_server.text.errors import UserError
from sandbox.airlock.store import Store


# Columns of the real one at 4b1d46e, made by its own migrations.
REAL = {
    "local_db_requestmetadata": "author created_at id last_submitted_at organisations project "
    "review_turn status submitted_reviews turn_reviewers workspace",
    "local_db_filegroupmetadata": "context controls created_at id name request_id updated_at",
    "local_db_requestfilemetadata": "col_count commit file_id filegroup_id filetype id job_id "
    "released_at released_by relpath repo request_id row_count size timestamp upload_attempted_at "
    "upload_attempts uploaded uploaded_at",
    "local_db_auditlog": "created_at extra hidden id path request type user workspace",
    "django_session": "expire_date session_data session_key",
    "users_user": "api_data last_login last_refresh password user_id",
}


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path) as made:
        yield made


@pytest.fixture
def path(store):
    return str(store.folder / "db.sqlite3")


def released(store, when="2027-01-15 11:00:00", uploaded=0):
    known = store.add("trial", "rita", {"a.csv": "0", "b.csv": "1"})
    store.set(known, "APPROVED")
    for number, each in enumerate(store.files(known)):
        store.set_file(
            each["id"], released_at=when, uploaded=number < uploaded, upload_attempts=3
        )
    return known


def test_the_stand_ins_tables_are_those_of_the_real_one(store):
    for table, columns in REAL.items():
        asked = store.database.execute(f"PRAGMA table_info({table})")
        assert " ".join(sorted(row["name"] for row in asked)) == columns


def test_where_there_is_no_database_there_is_no_request(tmp_path):
    assert requests((), str(tmp_path / "db.sqlite3")) == []
    assert os.listdir(tmp_path) == []


def test_each_request_is_read_and_nothing_is_written(store, path):
    known, other = released(store, uploaded=1), store.add("trial", "ada", {})
    before = {
        name: (store.folder / name).read_bytes() for name in os.listdir(store.folder)
    }
    first, second = requests((), path)
    when = "2027-01-15 11:00:00"
    assert first == Request(
        known, "trial", "rita", "APPROVED", when, 2, 1, 3, ("rita",)
    )
    assert (second.id, second.files, second.uploaded) == (other, 0, 0)
    after = {
        name: (store.folder / name).read_bytes() for name in before if "shm" not in name
    }
    assert after.items() <= before.items()


def test_what_has_not_arrived_is_told_ten_minutes_later(store, path):
    known = released(store, uploaded=1)
    (found,) = requests((), path)
    assert not found.late("2027-01-15 10:59:59")
    assert found.late("2027-01-15 11:00:01")
    assert found.stuck == (
        f"{known} of trial was released 2027-01-15 11:00Z, and 1 of 2 files have arrived, "
        "in spite of tries"
    )
    store.set(known, "RELEASED")
    assert not requests((), path)[0].late("2027-01-15 11:00:01")


def test_a_copy_is_whole_where_cp_is_not(store, path, tmp_path):
    known = released(store)
    backup.copy_database(path, str(tmp_path / "copy"))
    assert [each.id for each in requests((), str(tmp_path / "copy"))] == [known]
    plain = tmp_path / "plain.sqlite3"
    plain.write_bytes((store.folder / "db.sqlite3").read_bytes())
    with pytest.raises(UserError, match="cannot be read: no such table"):
        requests((), str(plain))


def test_one_that_is_not_whole_is_told(store, path, tmp_path):
    for number in range(50):
        store.note("X" * 500, "ada", "trial", str(number))
    store.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.database.close()
    data = bytearray((tmp_path / "db.sqlite3").read_bytes())
    data[-8192:-4096] = b"x" * 4096
    (tmp_path / "db.sqlite3").write_bytes(data)
    with pytest.raises(UserError, match="was not copied whole"):
        backup.copy_database(path, str(tmp_path / "copy"))


def test_who_is_on_no_roster_is_named(store, path):
    """As author, reviewer of this turn or the last, or who released it, in whatever letters."""
    known = store.add("trial", "Rita", {"a.csv": "0"})
    for name in ("gus", "ivy"):
        store.review(known, name)
    assert requests({"rita", "gus", "ivy"}, path)[0].strangers == ()
    assert requests({"rita", "gus"}, path)[0].strangers == ("ivy",)
    assert requests({"gus", "ivy"}, path)[0].strangers == ("Rita",)
    store.set(known, "APPROVED", submitted_reviews="{}", turn_reviewers="gus,Ivy")
    (file,) = store.files(known)
    store.set_file(file["id"], released_by="hal")
    assert requests({"rita", "gus"}, path)[0].strangers == ("Ivy", "hal")
