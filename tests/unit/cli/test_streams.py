"""What is printed drives no terminal, whoever gave the words."""

import io

import pytest

from backend_server.cli import streams
from backend_server.cli.ending import say_lines


CLEAR = "\r\033[K"  # as Progress writes it


def shown(*lines, by=print):
    into = io.BytesIO()
    stream = streams.Lines(into, "utf-8", "backslashreplace", write_through=True)
    for line in lines:
        by(line, file=stream)
    return into.getvalue().decode()


@pytest.mark.parametrize(
    ("name", "spelt"),
    [
        ("\033]0;mine\a\033[2J", r"\x1b]0;mine\x07\x1b[2J"),
        ("a\rb\b\x9b31m", r"a\rb\x08\x9b31m"),
        ("\u2028\u202e", r"\u2028\u202e"),
        ("\udcff", r"\udcff"),
        ("\033[31mred", r"\x1b[31mred"),
        (f"{CLEAR}gone", r"\r\x1b[Kgone"),
        ("\033[31mred\033[0m\033[2J", r"\x1b[31mred\x1b[0m\x1b[2J"),
    ],
)
def test_a_name_drives_no_terminal(name, spelt):
    assert shown(name) == f"{spelt}\n"


def test_what_is_ours_does():
    """Letters, tabs, lines, and the colours and the end of a line's progress."""
    ours = ("é\tß", "one\ntwo", "\033[32m  + Group x\033[0m", CLEAR)
    assert shown(*ours) == "".join(f"{line}\n" for line in ours)
    assert shown("\033[32m  + \a\033[0m") == "\033[32m  + \\x07\033[0m\n"


def test_a_name_makes_no_line_of_its_own():
    said = shown(
        ["4 kB  /x\n2 TB  /var/log"], by=lambda lines, file: say_lines(lines, file)
    )
    assert said == "4 kB  /x\n   | 2 TB  /var/log\n"
