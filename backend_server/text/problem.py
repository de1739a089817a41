"""What is wrong with a line of a file in the checkout."""

from __future__ import annotations

from typing import NamedTuple, Tuple


class Problem(NamedTuple):
    """What is wrong with a line; line 0 is the file itself."""

    source: str
    line: int
    message: str

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}" if self.line else self.source
        return f"{place}: {self.message}"


Problems = Tuple[Problem, ...]
