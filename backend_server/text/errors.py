"""Failures we expect. Anything else that escapes is a bug and keeps its traceback."""

from __future__ import annotations


OK, FAILED, REFUSED, CHANGES, DEGRADED = range(5)  # the first of 2, 1, 3, 4 that holds


class UserError(Exception):
    """A sentence saying what was found and what was wanted; the hint says what to do next."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class CommandFailed(UserError):
    """A program on the host said no, or did not answer in time."""


class OutsideWorld(UserError):
    """Somebody else's machine did not give what was wanted: the last good state stays."""

    exit_code = 4


class Refused(UserError):
    """Going on could lose data or lock somebody out, or the input is wrong: a person decides.

    Raised before anything is touched.
    """

    exit_code = 2
