"""Environment files: what each line says, and that nothing is lost on the way to docker."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_server.checkout import env


# A line, and the value of A; None where the line is refused. Also tried in a real container.
LINES = [
    ("A=plain", "plain"),
    ("export A=exported", "exported"),
    ("  A=after blanks", "after blanks"),
    ("A=  blanks around \t", "blanks around"),
    ("A='  kept  '", "  kept  "),
    ('A="double"', "double"),
    ("A='single'  ", "single"),
    ('A="it\'s"', "it's"),
    ("A='say \"hello\"'", 'say "hello"'),
    ("A=it's", "it's"),
    ('A=a"b"', 'a"b"'),
    ("A=$HOME ${HOME} $(id) `id`", "$HOME ${HOME} $(id) `id`"),
    ("A='$HOME'", "$HOME"),
    ("A=back\\slash\\n", "back\\slash\\n"),
    ("A=value # a comment", "value"),
    ("A=value\t# a comment", "value"),
    ("A=value#no comment", "value#no comment"),
    ("A=#no comment", "#no comment"),
    ("A= # only a comment", ""),
    ("A='a # b'", "a # b"),
    ("A='a # b' # a comment", "a # b"),
    ("A=", ""),
    ("A=''", ""),
    ("A=a=b==", "a=b=="),
    ("A=%p%%", "%p%%"),
    ("A=crlf\r", "crlf"),
    ("A='crlf'\r", "crlf"),
    ("A=é ☂", "é ☂"),
    ("A=a\u2028b\x0bc\x85d", "a\u2028b\x0bc\x85d"),
    ("A=\\", "\\"),
    ("A='", None),
    ("A='not closed", None),
    ("A='a'b", None),
    ("A='a'#b", None),
    ('A="a\\"b"', None),
    ("A", None),
    ("A =1", None),
    ("1A=1", None),
    ("A-B=1", None),
    ("=1", None),
    ("exportA =1", None),
    ("A=nul\0", None),
    ("A='a\rb'", None),
    ("A=bytes\udcff", None),
    ("A=" + 70_000 * "x", None),
]


@pytest.mark.parametrize(("line", "value"), LINES, ids=lambda each: repr(each)[:40])
def test_lines(line, value):
    values, problems = env.parse("x.env", f"{line}\n")
    if value is None:
        assert values == {}
        assert str(problems[0]).startswith("x.env:1: ")
    else:
        assert (values, problems) == ({"A": value}, [])


@pytest.mark.parametrize("line", ["", "   ", "# A=1", "  # A=1", "\r", "\t"])
def test_lines_that_say_nothing(line):
    assert env.parse("x", line) == ({}, [])


def test_no_problem_shows_a_value():
    text = "A='hunter2\nB='x'hunter2\nhunter2\nC=hunter2\0\n"
    _, problems = env.parse("02_secrets.env", text)
    assert [problem.line for problem in problems] == [1, 2, 3, 4]
    assert "hunter2" not in str(problems)


def test_a_later_line_and_a_later_file_win():
    files = [("1", "\ufeffA=1\nB=1\nA=2\n"), ("2", "B=3\nC=4\n"), ("3", "C=\n")]
    assert env.merge(files) == ({"A": "2", "B": "3", "C": ""}, [])


VALUES = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r\n")
)


def docker(text):
    """How docker reads an --env-file: Go's ScanLines, blanks on the left, # first, first `=`."""
    values = {}
    for line in text.split("\n"):
        line = line[:-1] if line.endswith("\r") else line
        line = line.lstrip(" \t")
        if line and not line.startswith("#"):
            name, _, values[name] = line.partition("=")
    return values


@given(st.dictionaries(st.sampled_from(["A", "B_1", "_c"]), VALUES))
def test_docker_reads_what_was_merged(values):
    assert docker(env.rendered(values)) == values


@given(VALUES.filter(lambda value: not {"'", '"'} <= set(value)))
def test_what_is_assigned_is_read_again(value):
    text = env.assigned("# mine\nA=1\nB=2\nA=3 # old", "A", value)
    assert env.parse("", text) == ({"A": value, "B": "2"}, [])
    assert text.split("\n")[0] == "# mine"
    assert len(text.splitlines()) >= 3


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "A=1\n"),
        ("# why\n\nB='x' # y\n", "# why\n\nB='x' # y\nA=1\n"),
        ("B=2", "B=2\nA=1\n"),
        ("A=0\r\nB=2\r\n", "A=1\nB=2\r\n"),
        ("export A='0'\n#A=0\nA=5\n", "A=1\n#A=0\n"),
    ],
)
def test_other_lines_stay(before, after):
    assert env.assigned(before, "A", "1") == after


@pytest.mark.parametrize("value", ["a\nb", "a\0b", "'\"", "a\rb"])
def test_what_no_line_can_say_is_refused_unseen(value):
    with pytest.raises(ValueError, match="no line can hold it") as refused:
        env.assigned("", "A", value)
    assert value not in str(refused.value)
