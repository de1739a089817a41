"""What a stand-in says to a question: a good answer, or a bad one in every detail."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Mapping


@dataclass(frozen=True)
class Answer:
    """An answer as GitHub gives it, whole and at once, unless a field says otherwise.

    `headers` go over the two that every answer has; an empty one is left out. With
    status 0 the body is all that is said, status line and headers included. After a
    body of another length than Content-Length the connection is closed; where it does
    not `end`, it stays open in silence until the other side hangs up.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    pause_s: float = 0  # before each byte of the body
    ends: bool = True

    def all_headers(self) -> dict[str, str]:
        """Those to send, with the two that every answer has."""
        usual = {
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Length": str(len(self.body)),
        }
        merged = {**usual, **self.headers}
        return {name: value for name, value in merged.items() if value}

    @property
    def regular(self) -> bool:
        """Whether another question can follow on the same connection."""
        length = self.all_headers().get("Content-Length")
        return self.status > 0 and self.ends and length == str(len(self.body))

    def note(self) -> dict[str, Any]:
        """It as JSON knows it."""
        return {**asdict(self), "body": self.body.decode("latin-1")}

    @staticmethod
    def noted(note: Mapping[str, Any]) -> Answer:
        return Answer(**{**note, "body": note["body"].encode("latin-1")})


NOT_FOUND = Answer(b"Not Found", 404)


def keys(*lines: str) -> Answer:
    """What GitHub says of an account: its keys without their comments, one a line."""
    found = (" ".join(line.split()[:2]) for line in lines)
    return Answer("".join(f"{line}\n" for line in found).encode())
