"""What outputs are released to, as a test sees it: who may do what there, and what has arrived.

What Airlock hears is in releaseapi.py, another process; the two share a folder.
"""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any, Dict, Iterable, Mapping

from sandbox.taskapi import save


WORDS = ("amber", "bridge", "candle", "dragon", "ember", "falcon", "garden", "harbour")
Person = Dict[str, Any]


def token(backend: str) -> str:
    """What Airlock of this backend says who it is with."""
    return hashlib.sha1(f"releases of {backend}".encode()).hexdigest()


class Releases:
    """People, workspaces and releases of these backends."""

    def __init__(self, folder: Path, backends: Iterable[str]) -> None:
        self.folder, self.backends = folder, tuple(backends)
        self.reset()

    @property
    def tokens(self) -> Mapping[str, str]:
        return {backend: token(backend) for backend in self.backends}

    def reset(self) -> None:
        """Nobody is known, and nothing was released."""
        for kind in ("releases", "files"):
            (self.folder / kind).mkdir(parents=True, exist_ok=True)
            for path in (self.folder / kind).iterdir():
                path.unlink()
        (self.folder / "events.jsonl").write_text("")
        save(self.folder / "people.json", {})
        save(self.folder / "workspaces.json", {})

    def workspace(
        self, name: str, project: str = "invented", ongoing: bool = True
    ) -> None:
        """There is such a workspace, of this project."""
        details = {"name": project, "ongoing": ongoing, "orgs": []}
        self._add("workspaces", name, {"project_details": details, "archived": False})

    def person(
        self, name: str, workspaces: Iterable[str] = (), checker: bool = False
    ) -> None:
        """An author of these workspaces, or an output checker, in every backend."""
        self._add(
            "people",
            name,
            {
                "fullname": name.title(),
                "email": f"{name}@example.org",
                "backends": list(self.backends),
                "workspaces": list(workspaces),
                "output_checker": checker,
                "token": "",
            },
        )

    def login(self, name: str) -> str:
        """Three words with which this person can log in once."""
        words = " ".join(random.sample(WORDS, 3))
        people = self._read("people")
        people[name]["token"] = words
        save(self.folder / "people.json", people)
        return words

    def released(self) -> list[dict[str, bytes]]:
        """What has arrived, of each release by the names of its files."""
        found = (json.loads(path.read_text()) for path in self._releases())
        return [
            {
                name: (self.folder / "files" / file).read_bytes()
                for name, file in release["uploaded"].items()
            }
            for release in found
        ]

    def events(self) -> list[dict[str, Any]]:
        lines = (self.folder / "events.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def _releases(self) -> list[Path]:
        return sorted((self.folder / "releases").glob("*.json"))

    def _read(self, kind: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / f"{kind}.json").read_text())
        return found

    def _add(self, kind: str, name: str, value: Person) -> None:
        save(self.folder / f"{kind}.json", {**self._read(kind), name: value})
