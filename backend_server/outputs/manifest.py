"""manifest.json, in which the job-runner says what a workspace holds."""

from __future__ import annotations

import json
from typing import Iterator, NamedTuple


FOLDER = "metadata"
MANIFEST = f"{FOLDER}/manifest.json"
MODERATE = "moderately_sensitive"  # the only level that is to be seen at level 4


class Wrong(ValueError):
    """The text is no manifest; the message says why."""


def paths(text: str) -> tuple[str, ...]:
    """What of a workspace may be seen at level 4, the manifest last: outputs and logs.

    An output that was held back is there as a note, PATH.txt. Raises Wrong.
    """
    try:
        outputs = json.loads(text)["outputs"]
        found = list(dict.fromkeys(_each(outputs)))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise Wrong(f"{MANIFEST} cannot be understood: {error!a}") from None
    return (*found, MANIFEST)


class _Output(NamedTuple):
    path: str
    level: str
    action: str
    excluded: bool


def _each(outputs: dict[str, dict[str, object]]) -> Iterator[str]:
    every = [_output(path, said) for path, said in sorted(outputs.items())]
    for output in every:
        if output.level == MODERATE:
            yield f"{output.path}.txt" if output.excluded else output.path
    for action in sorted({output.action for output in every} - {""}):
        yield f"{FOLDER}/{action}.log"


def _output(path: str, said: dict[str, object]) -> _Output:
    level, action = said.get("level"), said.get("action")
    return _Output(
        path, str(level or ""), str(action or ""), bool(said.get("excluded"))
    )
