"""What faillock(8) says of everybody, as Debian 12 and Ubuntu 20.04 print it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from backend_server.access.pam_profiles import shut_out


LAST = datetime(2026, 11, 29, 16, 0, 4)


def said(*times, valid="V"):
    head = "When                Type  Source                                           Valid"
    lines = (
        f"{at:%Y-%m-%d %H:%M:%S} RHOST ::ffff:10.77.0.1{' ' * 33}{valid}"
        for at in times
    )
    return "\n".join((head, *lines, ""))


def five(last=LAST):
    return [last - timedelta(seconds=n) for n in range(5)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        (f"gus:\n{said(*five())}", ["gus"]),
        (f"gus:\n{said(*five()[1:])}", []),
        (f"gus:\n{said()}ada:\n{said(*five())}", ["ada"]),
        (f"gus:\n{said(*five(), valid='I')}", []),
        (f"gus:\n{said(*five(LAST - timedelta(minutes=10)))}", []),
        (f"gus:\n{said(*five())}ada:\n{said(*five())}", ["ada", "gus"]),
    ],
)
def test_who_is_locked(text, found):
    assert shut_out(text, LAST + timedelta(minutes=1)) == found
