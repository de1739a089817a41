"""sshd's configuration as sshd reads it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_server.access.sshd import (
    MAIN,
    Setting,
    daemon_options,
    includes_drop_ins,
    settings,
    shuts_out,
)
from backend_server.text.errors import UserError


FOLDER = "/etc/ssh/sshd_config.d"
INCLUDE = f"Include {FOLDER}/*.conf\n"


def read(files):
    """(keyword, value, match, source, line) of all settings, in sshd's order."""

    def names(folder):
        paths = (path.rpartition("/") for path in files)
        return tuple(name for where, _, name in paths if where == folder)

    found = settings(files.get, names)
    return [(s.keyword, s.value, s.match, s.source, s.line) for s in found]


@pytest.mark.parametrize(
    ("line", "keyword", "value"),
    [
        ("Port 22", "port", "22"),
        ("  pOrT\t22  ", "port", "22"),
        ("Port=22", "port", "22"),
        ("Port = 22", "port", "22"),
        ("Port =22", "port", "22"),
        ('Banner "/etc/my banner"', "banner", "/etc/my banner"),
        ("UsePAM yes # ours", "usepam", "yes"),
        ("AllowUsers ada  grace", "allowusers", "ada grace"),
        (
            "Subsystem sftp internal-sftp -l a=b",
            "subsystem",
            "sftp internal-sftp -l a=b",
        ),
    ],
)
def test_a_line(line, keyword, value):
    assert read({MAIN: f"#\n{line}\n"}) == [(keyword, value, "", MAIN, 2)]


@pytest.mark.parametrize("text", ["", "\n", "# Port 22\n", "   #x\n", "\t\n"])
def test_no_line(text):
    assert read({MAIN: text}) == []


def test_a_file_that_is_not_there():
    assert read({}) == []
    assert not includes_drop_ins({}.get)


def test_includes_in_order():
    files = {
        MAIN: f"A 1\n{INCLUDE}Include extra other\nB 2\n",
        f"{FOLDER}/50-b.conf": "C 3\n",
        f"{FOLDER}/00-a.conf": "D 4\nInclude /etc/far\nE 5\n",
        f"{FOLDER}/9.conf.dpkg-old": "X x\n",
        f"{FOLDER}/.hidden.conf": "X x\n",
        "/etc/far": "F 6\n",
        "/etc/ssh/other": "H 8\n",
        "/etc/ssh/extra": "G 7\n",
    }
    assert [value for _, value, *_ in read(files)] == list("14653782")


def test_an_include_that_is_quoted():
    files = {MAIN: f'Include "{FOLDER}/*.conf"\n', f"{FOLDER}/a.conf": "A 1\n"}
    assert [found[:2] for found in read(files)] == [("a", "1")]


def test_a_file_that_includes_itself():
    """sshd gives up at some depth; whatever is said here, it is said in a sentence."""
    files = {MAIN: INCLUDE, f"{FOLDER}/a.conf": f"A 1\n{INCLUDE}"}
    try:
        assert len(read(files)) < 1000
    except UserError:
        return


def test_the_scope_of_a_match_ends_with_its_file():
    files = {
        MAIN: f"{INCLUDE}A 1\nMatch User ada\n B 2\nInclude extra\nMatch all\nC 3\n",
        f"{FOLDER}/a.conf": "Match Group x\nD 4\nmatch ALL\nE 5\nMatch User y\nF 6\n",
        "/etc/ssh/extra": "G 7\nMatch User z\nH 8\n",
    }
    assert [(value, match) for _, value, match, *_ in read(files)] == [
        ("4", "Group x"),
        ("5", ""),
        ("6", "User y"),
        ("1", ""),
        ("2", "User ada"),
        ("7", "User ada"),
        ("8", "User z"),
        ("3", ""),
    ]


@pytest.mark.parametrize(
    ("text", "read_first"),
    [
        (INCLUDE, True),
        (f"# x\n\n  {INCLUDE}Port 22\n", True),
        ("include sshd_config.d/*.conf\n", True),
        (INCLUDE.replace(" ", "="), True),
        (f"Port 22\n{INCLUDE}", False),
        (f"Match all\n{INCLUDE}", False),
        (f"# {INCLUDE}", False),
        ("Include /etc/ssh/other.d/*.conf\n", False),
        (f"Include {FOLDER}/5*.conf\n", False),
    ],
)
def test_whether_drop_ins_come_first(text, read_first):
    assert includes_drop_ins({MAIN: text}.get) == read_first


ADAS = frozenset({"ada", "developers", "opensafely-people"})


# These lines are lists of patterns, but unlike other lists they know no exclamation mark.
@pytest.mark.parametrize(
    ("line", "out"),
    [
        ("AllowUsers ada", False),
        ("AllowUsers grace", True),
        ("AllowUsers grace ada", False),
        ("AllowUsers a?a", False),
        ("AllowUsers *", False),
        ("AllowUsers ada@192.0.2.1", False),
        ("AllowUsers * !ada", False),
        ("AllowUsers !grace", True),
        ("DenyUsers grace", False),
        ("DenyUsers ada", True),
        ("DenyUsers a*", True),
        ("DenyUsers * !ada", True),
        ("DenyUsers ada@192.0.2.*", True),
        ("AllowGroups developers", False),
        ("AllowGroups dev*", False),
        ("AllowGroups sudo", True),
        ("DenyGroups developers", True),
        ("DenyGroups sudo ada", True),
        ("DenyGroups sudo", False),
        ('DenyUsers "ada" grace', True),
        ('DenyUsers grace "ada"', True),
        ("Banner ada", False),
    ],
)
def test_who_is_shut_out(line, out):
    ((keyword, value, *_),) = read({MAIN: line})
    setting = Setting(keyword, value, "", MAIN, 1)
    assert shuts_out(setting, "ada", ADAS) == out


def titled(options):
    """What sshd makes of its own argv, as words."""
    title = f"sshd: /usr/sbin/sshd -D {options}[listener] 0 of 10-100 startups"
    return tuple(title.split())


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ("", ()),
        ("-o UsePAM=no ", ("UsePAM=no",)),
        ("-oUsePAM=no ", ("UsePAM=no",)),
        ("-e -oA=1 -p 22 -o B=2 ", ("A=1", "B=2")),
        ("-o UsePAM no ", ("UsePAM no",)),
        (
            "-o AuthorizedKeysCommand /x %u %f -o AuthorizedKeysCommandUser who ",
            ("AuthorizedKeysCommand /x %u %f", "AuthorizedKeysCommandUser who"),
        ),
        ("-f /etc/x -o A=1 ", ("A=1",)),
    ],
)
def test_options_of_a_daemon(options, found):
    assert daemon_options(" ".join(titled(options))) == found


def test_options_of_a_unit():
    """ExecStart as systemctl show has it, before there is a daemon."""
    shown = (
        "{ path=/usr/sbin/sshd ; argv[]=/usr/sbin/sshd -D -o A /x %u ; "
        "ignore_errors=no ; start_time=[n/a] ; pid=0 }"
    )
    assert daemon_options(shown) == ("A /x %u",)


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_can_be_read(text, other):
    files = {MAIN: INCLUDE + text.replace("nclude", ""), f"{FOLDER}/a.conf": other}
    files[f"{FOLDER}/a.conf"] = other.replace("nclude", "").replace("NCLUDE", "")
    for keyword, value, *_, line in read(files):
        assert keyword == keyword.lower()
        assert line >= 1
        shuts_out(Setting(keyword, value, "", MAIN, line), "ada", ADAS)


@given(st.lists(st.text(max_size=9), max_size=9))
def test_any_argv_can_be_read(words):
    assert isinstance(daemon_options(" ".join(words)), tuple)
