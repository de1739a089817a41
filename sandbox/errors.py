"""What a person can do something about: a sentence, and what to try."""

from __future__ import annotations


class SandboxError(Exception):
    """Something expected went wrong; the message says what was found and wanted."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message}\n   try: {hint}" if hint else message)


class CannotRun(SandboxError):
    """This machine, or this command line, cannot do it at all: nothing was touched."""

    exit_code = 2
