"""manifest.json, in which the job-runner says what a workspace holds: whoever reads one, by this."""

from __future__ import annotations

import json
import math
from typing import Any, Dict, Iterator, Mapping, NamedTuple, NoReturn


FOLDER = "metadata"
MANIFEST = f"{FOLDER}/manifest.json"
MODERATE = "moderately_sensitive"  # the only level that is to be seen at level 4
LARGEST = 16 << 20  # bytes, of some 40,000 outputs
_DIGITS = 20  # a number of a million takes minutes to read
# What the job-runner says of an output, and what is said of a redaction. Each is a word or a number.
OF_OUTPUTS = (
    *("level", "excluded", "size", "timestamp", "content_hash", "message", "user"),
    *("commit", "repo", "job_id", "job_request", "action", "row_count", "col_count"),
    "out_of_date_action",
)
_KNOWN = {
    *(*OF_OUTPUTS, "out_of_date_output", "redacted_from", "redacted_by"),
    *("file_of", "redacted_from_hash", "redacted_at", "made_again", "points"),
}

Said = Dict[str, Any]


class Wrong(ValueError):
    """The text is no manifest; the message says why."""


class Manifest(NamedTuple):
    """What is read of it; `paths` and `text` are what level 4 may see."""

    workspace: str | None
    repo: str | None
    outputs: dict[str, Said]  # by path, of any level

    def paths(self) -> tuple[str, ...]:
        """What may be seen at level 4, the manifest last: outputs and logs.

        An output that was held back is there as a note, PATH.txt.
        """
        return (*dict.fromkeys(self._each()), MANIFEST)

    def _each(self) -> Iterator[str]:
        for path, said in sorted(self._moderate().items()):
            yield f"{path}.txt" if said.get("excluded") else path
        actions = {str(said.get("action") or "") for said in self.outputs.values()}
        yield from (f"{FOLDER}/{action}.log" for action in sorted(actions - {""}))

    def _moderate(self) -> dict[str, Said]:
        return {
            p: said for p, said in self.outputs.items() if said.get("level") == MODERATE
        }

    def text(self) -> str:
        """A manifest of what may be seen at level 4: of the rest not even size and hash."""
        outputs = self._moderate()
        return json.dumps({**self._asdict(), "outputs": outputs}, indent=2) + "\n"


def read(data: bytes) -> Manifest:
    """Raises Wrong, for anything that is none or too much of one."""
    if len(data) > LARGEST:
        raise Wrong(f"has more than {LARGEST} bytes")
    try:
        text = data.decode("utf-8", "surrogateescape")
        found = json.loads(
            text, parse_int=_number, parse_float=_fraction, parse_constant=_no_number
        )
        workspace, repo = _word(found.get("workspace")), _word(found.get("repo"))
        outputs = {path: _known(said) for path, said in found["outputs"].items()}
    except (RecursionError, MemoryError):
        raise Wrong("cannot be understood: it is too deep, or too much") from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise Wrong(f"cannot be understood: {error!a}") from None
    return Manifest(workspace, repo, outputs)


def _known(said: Mapping[str, object]) -> Said:
    """Nothing within something: made into text again, that could be any size."""
    kept = ((name, v) for name, v in said.items() if name in _KNOWN)
    return {name: v for name, v in kept if not isinstance(v, (dict, list))}


def _word(found: object) -> str | None:
    return found if isinstance(found, str) else None


def _number(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError("it has a number that is too long")
    return int(digits)


def _fraction(digits: str) -> float:
    """1e999 is none: made into text again, nobody could read it."""
    return float(digits) if math.isfinite(float(digits)) else _no_number(digits)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
