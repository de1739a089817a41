"""Programs of this machine, run by argv."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING, Mapping

from sandbox.errors import SandboxError


if TYPE_CHECKING:
    Done = subprocess.CompletedProcess[str]
else:
    # Python 3.8 cannot subscript it.
    Done = subprocess.CompletedProcess


class CommandFailed(SandboxError):
    """A program ended with another status than 0; what it said is in the message."""

    def __init__(self, done: Done) -> None:
        shown = done.args if isinstance(done.args, str) else shlex.join(done.args)
        said = (done.stdout or "") + (done.stderr or "")
        super().__init__(
            f"exit {done.returncode} from: {shown}\n{said[-4000:]}".rstrip()
        )
        self.done = done


def run(
    *argv: object,
    check: bool = True,
    stdin: str = "",
    env: Mapping[str, str] | None = None,
    timeout_s: float = 900,
) -> Done:
    """What the program said and its exit status; stdin is empty unless given."""
    done = subprocess.run(
        [str(word) for word in argv],
        input=stdin,
        env=env,
        timeout=timeout_s,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    if check and done.returncode != 0:
        raise CommandFailed(done)
    return done


def told(done: Done, place: str, command: str, check: bool) -> Done:
    """The end of a shell line that ran elsewhere, which is said. Raises as `run` does."""
    done.args = f"[{place}] {command}"
    if check and done.returncode != 0:
        raise CommandFailed(done)
    return done


def output(*argv: object) -> str:
    """What the program printed, without the last newline."""
    return run(*argv).stdout.rstrip("\n")
