"""People who do not exist, with keys made for the occasion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Mapping, Sequence

from sandbox.command import run


DEVELOPERS = ("ada", "grace")
RESEARCHERS = ("rita",)
REVIEWERS = ("gus",)
ROSTERS: Mapping[str, Sequence[str]] = {
    "researchers": RESEARCHERS,
    "reviewers": REVIEWERS,
}


@dataclass(frozen=True)
class Person:
    """Somebody with an ssh key; `key` is the private half, a path."""

    name: str
    key: Path

    @property
    def public_key(self) -> str:
        return self.key.with_suffix(".pub").read_text().strip()


People = Dict[str, Person]
EVERYBODY = (*DEVELOPERS, *RESEARCHERS, *REVIEWERS)


def make(folder: Path, names: Sequence[str] = EVERYBODY) -> People:
    """Each of them with a new key below a folder only root can enter."""
    folder.mkdir(parents=True, mode=0o700)
    for name in names:
        kind = ("-q", "-t", "ed25519", "-N", "", "-C", name)
        run("ssh-keygen", *kind, "-f", folder / name)
    return load(folder)


def load(folder: Path) -> People:
    """Those whose keys were made earlier."""
    return {
        path.stem: Person(path.stem, path.with_suffix(""))
        for path in sorted(folder.glob("*.pub"))
    }


def lay_over(place: Path, people: People, developers: Sequence[str] = ()) -> None:
    """The checkout at this place names them, where its backends have a roster.

    Developers that are given really exist: nobody is invented beside them.
    """
    write_roster(place / "developers", developers or DEVELOPERS)
    for roster, names in ROSTERS.items():
        for path in place.glob(f"*/{roster}"):
            write_roster(path, () if developers else names)
    for person in people.values():
        path = place / "keys" / person.name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{person.public_key}\n")
        path.chmod(0o644)


def write_roster(path: Path, names: Sequence[str]) -> None:
    """Exactly these, one a line, whoever stood there before."""
    path.write_text("".join(f"{name}\n" for name in names))
