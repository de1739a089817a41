"""images.lock: which digest of an image a service runs at."""

from __future__ import annotations

import re
from typing import Mapping

from backend_server.text.problem import Problem


DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def parse(source: str, text: str) -> tuple[Mapping[str, str], list[Problem]]:
    """Digest by service, of lines `SERVICE sha256:…`, and what is wrong with the others."""
    digests: dict[str, str] = {}
    problems = []
    for number, line in enumerate(text.splitlines(), start=1):
        name, *rest = line.partition("#")[0].split() or [""]
        if not name:
            continue
        if len(rest) != 1 or not DIGEST.fullmatch(rest[0]):
            why = f"{line.strip()!a} is no `SERVICE sha256:` and 64 hexadecimal digits"
            problems.append(Problem(source, number, why))
        elif name in digests:
            problems.append(Problem(source, number, f"{name} has a line above already"))
        else:
            digests[name] = rest[0]
    return digests, problems
