"""What a backend says of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Backend:
    """A place where studies run, as its backend.py declares it.

    `rosters` names the lists of people that are ours to manage here; where a role has none,
    the provider manages those people elsewhere. `provider_accounts` are never touched.
    `endpoints` are NAME:PORT that the host must reach; `github` is the https URL before
    NAME.keys. Where `sudo_password` is false, developers become root without being asked
    for theirs.
    """

    name: str
    title: str
    rosters: tuple[str, ...]
    provider_accounts: frozenset[str]
    endpoints: tuple[str, ...]
    github: str
    sudo_password: bool = True
