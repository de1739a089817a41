"""A secret that is question on a terminal, or not."""

import os
import pty
import sys

import pytest

from backend_server.host import question
from backend_server.text.errors import Refused


AGAIN = b"Once more: "


def typing(*answers):
    """What came of it: to each prompt one of these is question."""
    child, terminal = pty.fork()
    if not child:
        sys.stdin = os.fdopen(0)  # pytest has another
        try:
            value = question.secret("TOKEN")
        except Refused as error:
            value = f"refused: {error}"
        except BaseException as error:
            value = repr(error)
        os.write(1, f"<{value}>".encode())
        os._exit(0)
    seen = b""
    for prompt, answer in zip((b"shown): ", AGAIN), answers):
        while prompt not in seen and b">" not in seen:
            seen += os.read(terminal, 1000)
        os.write(terminal, answer)
    while b">" not in seen:
        seen += os.read(terminal, 1000)
    os.close(terminal)
    os.waitpid(child, 0)
    return seen.decode().partition("<")[2].partition(">")[0]


def test_twice_the_same():
    assert typing("pässword\n".encode(), "pässword\n".encode()) == "pässword"


@pytest.mark.parametrize(
    "answers",
    [[b"\x04"], [b"one\n", b"\x04"], [b"\xff\xfe\n"], [b"one\n", b"\xff\n"]],
    ids=["ended", "ended at the second", "no text", "no text at the second"],
)
def test_what_is_ended_or_no_text(answers):
    said = typing(*answers)
    assert said.startswith("refused: TOKEN: ")
    assert said.endswith("nothing was changed")
