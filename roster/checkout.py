"""What the rosters and keys of a checkout say, of every backend, and what is wrong there."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

from backend_server.checkout import keys, rosters
from backend_server.checkout.gather import read_bytes, roster_path
from backend_server.checkout.keys import Keys
from backend_server.checkout.rosters import Entries
from backend_server.host.reader import HostReader
from backend_server.run.place import load
from backend_server.text.problem import Problem


def read_rosters(checkout: Path, problems: list[Problem]) -> dict[str, Entries]:
    """Every roster by its path, those of people whose time is over too."""
    found: dict[str, Entries] = {}
    for source in sorted(set(_sources(checkout))):
        content = read_bytes(checkout, source, problems)
        found[source], wrong = rosters.parse(source, content)
        problems += wrong
    problems += rosters.check(found)
    return found


def _sources(checkout: Path) -> Iterator[str]:
    for path in checkout.glob("*/backend.py"):
        name = path.parent.name
        if name != "backend_server":
            for roster in load(name, checkout).rosters:
                yield roster_path(name, roster)


def read_keys(checkout: Path, problems: list[Problem]) -> dict[str, Keys]:
    """The keys of each file, by its name."""
    found = {}
    for path in sorted((checkout / "keys").iterdir()):
        if path.name == "README.md":
            continue
        source = f"keys/{ascii(path.name)[1:-1]}"  # nothing that drives a terminal
        if path.is_symlink() or not path.is_file():
            problems.append(Problem(source, 0, "is no file; wanted nothing else here"))
            continue
        content = read_bytes(checkout, f"keys/{path.name}", problems)
        found[path.name], wrong = keys.parse(source, content)
        problems += wrong
    return found


def strangers(files: dict[str, Keys], people: frozenset[str]) -> Iterator[Problem]:
    """Key files that are nobody's."""
    spelled = {name.lower(): name for name in people}
    for name in files.keys() - people:
        why = "is on no roster; wanted keys of people on a roster only"
        if name.lower() in spelled:
            why = f"is spelled {spelled[name.lower()]} on the roster; rename the file"
        yield Problem(f"keys/{ascii(name)[1:-1]}", 0, why)


def read_otherwise(files: dict[str, Keys], machine: HostReader) -> Iterator[Problem]:
    """Files of which ssh-keygen reads other keys than we do. Raises CommandFailed without one."""
    for name, found in files.items():
        text = "".join(key.line(name, "roster") for key in found)
        if text and machine.fingerprints(text) != {key.fingerprint for key in found}:
            why = "ssh-keygen does not read these keys as this tool does"
            yield Problem(f"keys/{name}", 0, why)
