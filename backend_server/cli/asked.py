"""What commands of several families are asked besides `Asked` of run/place.py."""

from __future__ import annotations

from dataclasses import dataclass

from backend_server.run.place import Asked


@dataclass(frozen=True)
class Named(Asked):
    """Of one thing or person in particular."""

    subject: str = ""
