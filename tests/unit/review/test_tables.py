"""What in a table is pointed out to those who check it."""

import pytest

from backend_server.review.tables import points, refusal


CSV = "out.csv"
HEADER = b"sex,n,rate\n"


def pointed(*rows, made=None, header="sex,n"):
    before = None if made is None else "\n".join((header, *made)).encode()
    return points(CSV, "\n".join((header, *rows)).encode(), before)


@pytest.mark.parametrize(
    ("count", "small"),
    [("0", False), ("1", True), ("7", True), ("8", False), ("7.0", True), ("", False)],
)
def test_a_count_of_one_to_seven(count, small):
    line = "row 3, column 'n': a count of 1 to 7, which is redacted"
    assert (line in pointed("F,10", f"M,{count}")) is small


@pytest.mark.parametrize(
    ("header", "counted"),
    [
        ("n", True),
        ("count_2020", True),
        ("N patients", True),
        ("numerator", True),
        ("sex", False),
        ("nation", False),
        ("mean", False),
    ],
)
def test_which_columns_are_counts(header, counted):
    assert bool(pointed("F,3", header=f"sex,{header}")) is counted


@pytest.mark.parametrize(
    ("counts", "rounded"),
    [
        ("0 5 10 1,000", True),
        ("0 3 9 15", True),
        ("[REDACTED] 10 20", True),
        ("5 9", False),
        ("12", False),
        ("10.5", False),
    ],
)
def test_counts_are_rounded_in_one_way(counts, rounded):
    said = pointed(*(f'F,"{count}"' for count in counts.split()))
    line = "column 'n': counts that are rounded neither to 5 nor to midpoint 6"
    assert (line not in said) is rounded


def test_a_minimum_or_maximum():
    line = "column 'max_age': a minimum or maximum, which may be one person's"
    assert pointed("F,101", header="sex,max_age") == [line]
    assert pointed("F,[REDACTED]", header="sex,max_age") == []
    assert pointed("F,101", header="sex,maximal") == []


@pytest.mark.parametrize(
    ("was", "now", "fine"),
    [
        ("12", "[REDACTED]", True),
        ("12", "", True),
        ("12", "10", True),
        ("12", "15", True),
        ("12", "13", False),
        ("12", "20", False),
        ("11", "9", True),
        ("25", "30", True),
        ("1234", "1200", True),
        ("0.12345", "0.12", True),
        ("0.125", "0.13", True),
        ("0.125", "0.12", True),
        ("0.12", "0.21", False),
        ("F", "12", False),
        ("F", "female", True),
        ("[REDACTED]", "12", False),
        ("1e400", "13", False),
    ],
)
def test_another_number_is_no_redaction(was, now, fine):
    line = "row 2, column 'rate': another number, which is no mark and no rounding"
    found = pointed(f"F,{now}", made=[f"F,{was}"], header="sex,rate")
    assert found == ([] if fine else [line])


def test_rows_and_columns_that_no_job_made():
    assert pointed("F,x", "M,x", made=["F,x"]) == ["1 row more than its job made"]
    made = b"sex,n,age\nF,x,x\n"
    assert points(CSV, b"sex,n\nF,x\n", made) == ["1 column fewer than its job made"]


def test_the_row_is_the_one_of_the_file():
    """As a spreadsheet counts, with the lines that are empty."""
    (line,) = pointed("", "F,3", header="sex,n")
    assert line.startswith("row 3,")


def test_much_is_told_in_few_lines():
    said = pointed(*(["F,3"] * 100))
    assert (len(said), said[-1]) == (21, "and more")


@pytest.mark.parametrize("data", [b"\xff\xfe", b"", b"\n\n"])
def test_what_is_no_table(data):
    for made in (None, data, HEADER):
        assert points(CSV, data, made) in (["it cannot be read as a table"], [])
    assert points("a.txt", data) == []


def test_a_name_of_a_column_is_shown_as_it_is_typed():
    assert pointed("F,3", header="sex,n\x1b[2J")[0].startswith(
        r"row 2, column 'n\x1b[2J'"
    )


def test_many_columns_take_no_more_time():
    wide = b"," * (4 << 20)
    assert points(CSV, wide + b"\n" + wide, wide + b"\n" + wide) == []


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b" \n", "is empty, and nothing empty is ever released"),
        (HEADER + b"F,1,2\n" * 5000, ""),
        (HEADER + b"F,1,2\n" * 5001, "has more than 5000 rows"),
        (HEADER + b"\n" * 9000, ""),
        (b"Patient_ID ,n\n", "has a column patient_id"),
    ],
)
def test_what_is_held_back(data, why):
    assert refusal(CSV, data) == why
